"""YAML that cannot be misread."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InvalidPolicy
from imgverify.oci import limits
from imgverify.policy.document import List, Map, Node, Place, Text, read_yaml


def plain(node: Node) -> object:
    if isinstance(node, Text):
        return node.value
    if isinstance(node, List):
        return [plain(each) for each in node.items]
    return {key.value: plain(value) for key, value in node.entries}


def test_everything_is_text_as_it_was_written() -> None:
    text = b"tag: 1.10\nx: NO\nt: 22:22\nn: null\nd: 2027-01-31\nq: '1'\nl: [0x10, ~, true]\ne:\n"
    assert plain(read_yaml(text)) == {
        "tag": "1.10",
        "x": "NO",
        "t": "22:22",
        "n": "null",
        "d": "2027-01-31",
        "q": "1",
        "l": ["0x10", "~", "true"],
        "e": "",
    }


def test_every_value_knows_its_place() -> None:
    document = read_yaml(b"# first\nrules:\n  - match: a\n    'accept': [b, \"c\"]\n")
    assert isinstance(document, Map)
    rules = document.entries[0][1]
    assert isinstance(rules, List)
    (rule,) = rules.items
    assert isinstance(rule, Map)
    key, value = rule.entries[1]
    assert (key.place, key.quoted) == (Place(4, 5), True)
    assert isinstance(value, List)
    assert [each.place for each in value.items] == [Place(4, 16), Place(4, 19)]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (b"", 1, "the file is empty"),
        (b"# nothing but this\n", 1, "the file is empty"),
        (b"a: 1\nb: 2\na: 3\n", 3, "the key 'a' is there already, in line 1"),
        (b"a: 1\nb: 2\nA: 3\n", 3, "the key 'A' is there already, in line 1"),
        (b"a: 1\nb: &name 2\n", 2, "an anchor"),
        (b"a: 1\nb: *name\n", 2, "an alias"),
        (b"a:\n  - 1\n  - !!python/object:os.system x\n", 3, "a tag"),
        (b"a: !!str 1\n", 1, "a tag"),
        (b"a: !local {}\n", 1, "a tag"),
        (b"a: 1\n<<: {b: 2}\n", 2, "a merge key"),
        (b"a: 1\n---\nb: 2\n", 2, "a second document"),
        (b"%YAML 1.1\n---\na: 1\n", 2, "a %-directive"),
        (b"? [a]\n: 1\n", 1, "a key that is not text"),
        (b"a: 1\n\tb: 2\n", 2, "found character '\\t'"),
        (b"a: [1,\n", 2, "expected the node content"),
        (b"a: 1\nb: \x07\n", 2, "a character that YAML does not allow"),
        (b"a: 1\nb: \xff\n", 2, "the file is not UTF-8"),
        (b"a: " + b"[" * 20 + b"]" * 20, 1, "nested deeper than 16 levels"),
        (b"a: 1\n" * (limits.POLICY_SIZE // 5 + 1), 1, "the file has more than"),
        (b"a: {<<: 1}\n", 1, "a merge key"),
    ],
    ids=str,
)
def test_yaml_semantics_what_could_be_misread_is_refused_with_its_line(
    text: bytes, line: int, said: str
) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        read_yaml(text)
    (problem,) = refused.value.problems
    assert problem.line == line
    assert problem.message.startswith(said)
    assert refused.value.named("file.yaml").message.startswith(f"file.yaml:{line}:")


def test_a_quoted_merge_key_is_a_key() -> None:
    assert plain(read_yaml(b"'<<': 1\n")) == {"<<": "1"}


@given(st.text(max_size=40) | st.text("a:- \n[]{}&*!'\"#|>%", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    with contextlib.suppress(InvalidPolicy):
        assert isinstance(read_yaml(data), Node)
