"""What holds for every file: places that fit, and pins that change nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from imgverify.gate.find import find
from imgverify.gate.mention import Reading
from imgverify.gate.pinning import PinnedFile, is_unpinned, pin
from imgverify.oci.digest import Algorithm, Digest
from imgverify.oci.reference import Reference
from imgverify.verdict import Decision, UpstreamResult, Verdict

DIGEST = Digest(Algorithm.SHA256, "a" * 64)
NAMES = ["nginx", "nginx:1.27", "m.example:5000/a/b:1", f"x@{DIGEST}", "${X}", "${X:-a}", "No"]
PATHS = ["compose.yaml", "Dockerfile", "images.txt", "x.yaml", "devcontainer.json"]
WORDS = st.sampled_from(
    [
        "image", ": ", "- ", "\n", "  ", "    ", "services", "containers", "'", '"', "{", "}", "[",
        "]", ",", "|", ">-", "&a ", "*a", "<<", "---\n", "FROM ", "COPY --from=", "ARG X=", "\\\n",
        "\r\n", "# ", "é😀", "\ufeff", "apiVersion: v1\nkind: Pod\n", "spec", "RUN <<E\n", "E\n",
        "script", "job", *NAMES,
    ]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=40).map("".join)


def allowed(reference: Reference) -> Verdict:
    upstream = UpstreamResult(reference, DIGEST)
    return Verdict(
        str(reference), upstream, decision=Decision.ALLOW, pinned=reference.pinned(DIGEST)
    )


def pinned(reading: Reading, data: bytes, *, is_named: bool = True) -> PinnedFile:
    references = {each.reference for each in reading.mentions if each.reference}
    verdicts = {str(each): allowed(each) for each in references}
    return pin(data, reading, verdicts, is_named=is_named)


@given(path=st.sampled_from(PATHS), text=TEXTS)
def test_every_mention_is_where_it_says(path: str, text: str) -> None:
    data = text.encode()
    reading = find(path, data, is_named=True)
    lines = text.split("\n")
    locations = [(each.location, each.text) for each in reading.mentions]
    assert locations == sorted(set(locations))
    for each in reading.mentions:
        line = lines[each.location.line - 1].removeprefix("\ufeff" * (each.location.line == 1))
        assert each.location.column <= len(line) + 1
        if each.span:
            assert data[each.span.start : each.span.end] == each.text.encode()
            assert line[each.location.column - 1 :].startswith(each.text)


@given(path=st.sampled_from(PATHS), text=TEXTS)
def test_a_pin_changes_only_what_it_says_and_is_stable(path: str, text: str) -> None:
    data = text.encode()
    reading = find(path, data, is_named=True)
    result = pinned(reading, data)
    back = result.data
    for each in reversed([each for each in result.pins if each.after]):
        assert back.count(each.after.encode()) >= 1
        head, _, tail = back.rpartition(each.after.encode())
        back = head + each.mention.text.encode() + tail
    assert back == data
    again = find(path, result.data, is_named=True)
    assert len(again.mentions) == len(reading.mentions)
    left = [each for each in again.mentions if is_unpinned(each) and each.span]
    problems = [each for each in result.pins if each.problem and each.mention.span]
    assert len(left) == len(problems)
    assert pinned(again, result.data).data == result.data


@given(st.binary(max_size=200), st.sampled_from(PATHS))
def test_any_bytes_are_read_or_told(data: bytes, path: str) -> None:
    reading = find(path, data, is_named=True)
    assert reading.path == path
