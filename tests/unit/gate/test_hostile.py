"""Files made to be read in another way than they are run, or never to end."""

import time

import pytest

from imgverify.errors import InputError
from imgverify.gate.find import find, kind_of
from imgverify.gate.kubernetes import ImagePath
from imgverify.gate.mention import Kind, Location, Mention, Reading
from imgverify.oci import limits

POD = "apiVersion: v1\nkind: Pod\n"
KUSTOMIZATION = """\
kind: Kustomization
apiVersion: kustomize.config.k8s.io/v1
images: [{name: x, newTag: y}]
"""


def texts(reading: Reading) -> list[str]:
    return [each.text for each in reading.mentions]


def yaml(text: str, path: str = "x.yaml") -> Reading:
    return find(path, text.encode())


def dockerfile(text: str) -> Reading:
    return find("Dockerfile", text.encode())


# --- bombs ------------------------------------------------------------------------------------


def lol(levels: int, form: str) -> str:
    lines = [POD + "a0: &a0 {image: x}"]
    lines += [f"a{n}: &a{n} {form.format(n - 1)}" for n in range(1, levels)]
    return "\n".join(lines) + f"\nspec: {{containers: [*a{levels - 1}]}}\n"


@pytest.mark.parametrize(
    "form", ["[*a{0}, *a{0}]", "{{<<: [*a{0}, *a{0}]}}", "{{k: *a{0}, l: *a{0}}}"]
)
def test_yaml_semantics_aliases_do_not_multiply(form: str) -> None:
    started = time.process_time()
    reading = yaml(lol(200, form))
    assert time.process_time() - started < 60  # it would be longer than the universe
    assert not reading.troubles


def test_yaml_semantics_many_wide_merges_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "YAML_NODES", 500)
    wide = ", ".join(f"k{at}: v" for at in range(100))
    merging = "".join(f"m{at}: {{<<: *w}}\n" for at in range(10))
    (trouble,) = yaml(f"{POD}w: &w {{{wide}}}\n{merging}").troubles
    assert "more than 500 values" in trouble.message


@pytest.mark.parametrize(
    "text",
    [
        POD + "x: " + "[" * 5000,
        POD + "x: " + "[" * 500 + "]" * 500,
        POD + "x: " + "{a: " * 500 + "}" * 500,
        POD + "\n".join(" " * at + "a:" for at in range(500)),
        POD + "- " * 500 + "x",
    ],
)
def test_yaml_that_nests_too_deep_is_unreadable(text: str) -> None:
    assert yaml(text).troubles
    assert yaml(text).mentions == ()


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 500 + "1" + "}" * 500])
def test_json_that_nests_too_deep_is_unreadable(text: str) -> None:
    assert find("devcontainer.json", text.encode()).troubles


def test_an_alias_of_what_is_not_complete_is_unreadable() -> None:
    (trouble,) = yaml(POD + "spec: &a {containers: [*a]}\n").troubles
    assert "no anchor that is complete" in trouble.message
    assert trouble.location == Location("x.yaml", 3, 24)


def test_defaults_do_not_multiply() -> None:
    lines = ["ARG A=aaaaaaaaaa"] + [f"ARG A{'x' * n}=$A{'x' * (n - 1)}" * 1 for n in range(1, 3)]
    doubling = ["ARG B0=abcdefghij", *(f"ARG B{n}=$B{n - 1}$B{n - 1}" for n in range(1, 64))]
    reading = dockerfile("\n".join([*lines, *doubling, "FROM $B63"]))
    (mention,) = reading.mentions
    assert mention.reference is None
    nested = "${A:-" * 100 + "x" + "}" * 100
    (mention,) = dockerfile(f"FROM {nested}").mentions
    assert "nested too deep" in mention.problem


def test_many_stages_and_many_references_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STAGES", 3)
    assert "more than 3 stages" in dockerfile("FROM a\n" * 4).troubles[0].message
    monkeypatch.setattr(limits, "GATE_REFERENCES", 2)
    reading = find("images.txt", b"a\nb\nc\nd\n")
    assert texts(reading) == ["a", "b"]
    assert reading.troubles[0].location.line == 3


UNITS = [
    *"{[\"'\\$#-:,& \t*|>", "{{", "${", "${A:-", "/*", "//", '\\"', "# x\n", " #", "<<E ", "a=$A ",
    "ARG A=1\n", "FROM a\n", "\\\n", "--from=", "\r\n", "'a' ", "{{ x", "[a, ", "- ", "x: y\n",
]  # fmt: skip


@pytest.mark.parametrize("path", ["Dockerfile", "images.txt", "devcontainer.json", "x.yaml"])
@pytest.mark.parametrize("unit", UNITS)
def test_yaml_semantics_no_text_takes_long(unit: str, path: str) -> None:
    size = 60_000 if path == "x.yaml" else 600_000
    text = {"x.yaml": "image: ", "devcontainer.json": '{"a": "'}.get(path, "") + unit * (
        size // len(unit)
    )
    started = time.thread_time()
    find(path, text.encode())
    # Whatever grows with the square takes minutes.
    assert time.thread_time() - started < 30


# --- two readers, one file --------------------------------------------------------------------


def test_both_values_of_a_key_that_is_there_twice_count() -> None:
    text = POD + "spec:\n  containers:\n    - image: good\n      image: evil\n"
    assert texts(yaml(text)) == ["good", "evil"]
    twice = POD + "spec: {containers: [{image: a}]}\nspec: {containers: [{image: b}]}\n"
    assert texts(yaml(twice)) == ["a", "b"]
    assert texts(yaml("services: {a: {image: x, image: y}}\n")) == ["x", "y"]
    devcontainer = find("devcontainer.json", b'{"image": "a", "image": "b"}')
    assert texts(devcontainer) == ["a", "b"]


def test_a_kind_that_is_there_twice_hides_nothing() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nkind: Pod\nspec: {containers: [{image: x}]}\n"
    assert texts(yaml(text)) == ["x"]


@pytest.mark.parametrize(
    "key", ['"image"', "'image'", '"im\\x61ge"', "? image\n      ", "&k image", "!!str image"]
)
def test_a_key_may_be_spelt_in_any_way(key: str) -> None:
    assert texts(yaml(f"{POD}spec:\n  containers:\n    - {key}: evil\n")) == ["evil"]


@pytest.mark.parametrize(
    "value",
    [
        "evil",
        "'evil'",
        '"e\\x76il"',
        "!!str evil",
        "&a evil",
        "|\n        evil",
        ">-\n        evil",
    ],
)
def test_a_value_may_be_written_in_any_way(value: str) -> None:
    (mention,) = yaml(f"{POD}spec:\n  containers:\n    - image: {value}\n").mentions
    assert mention.text == "evil"
    assert mention.location.line == (6 if "\n" in value else 5)


def test_merged_containers_are_found() -> None:
    text = POD + "x: &x\n  containers: [{image: a}]\nspec:\n  <<: *x\n"
    assert texts(yaml(text)) == ["a"]
    quoted = POD + 'x: &x {a: b}\nspec: {"<<": {containers: [{image: c}]}}\n'
    assert texts(yaml(quoted)) == ["c"]  # a quoted << is a plain key
    wrong = yaml(POD + "spec: {<<: text}\n")
    assert "does not name a map" in wrong.troubles[0].message
    odd = yaml(POD + "? [a]\n: b\n")
    assert "key that is not text" in odd.troubles[0].message


def test_what_is_no_text_is_not_passed_over() -> None:
    (mention,) = yaml(POD + "spec: {containers: [{image: [evil]}]}\n").mentions
    assert "a list or a map" in mention.problem


def test_documents_that_do_not_parse_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATE_TROUBLES", 3)
    reading = yaml("---\nkind: [\n" * 10 + "---\n" + POD + "spec: {containers: [{image: b}]}\n")
    assert len(reading.troubles) == 4
    assert "nothing after this" in reading.troubles[-1].message
    assert texts(reading) == []


def test_a_document_that_does_not_parse_hides_no_other() -> None:
    text = POD + "spec: {containers: [{image: a}]}\n---\nkind: [\n---\n" + POD
    reading = yaml(text + "spec: {containers: [{image: b}]}\n")
    assert texts(reading) == ["a", "b"]
    assert len(reading.troubles) == 1


def test_documents_without_a_start_are_found() -> None:
    first, second = (POD + f"spec: {{containers: [{{image: {each}}}]}}\n" for each in "ab")
    assert texts(yaml(f"%YAML 1.2\n---\n{first}...\n{second}")) == ["a", "b"]
    assert texts(yaml("# only words\n\n")) == []


@pytest.mark.parametrize(
    "data", [b"\xff\xfeF\x00R\x00", b"services:\n  a: \xff\n", b"a: \x00b\nkind: x"]
)
def test_what_is_not_text_is_unreadable(data: bytes) -> None:
    assert find("compose.yaml", data).troubles


def test_two_backslashes_do_not_continue_a_line() -> None:
    assert texts(dockerfile("FROM a\nRUN x \\\\\nFROM evil\n")) == ["a", "evil"]
    assert texts(dockerfile("FROM a\nRUN x \\ \t\nFROM no\nFROM evil\n")) == ["a", "evil"]
    assert texts(dockerfile("FROM a\nRUN x \\")) == ["a"]


@pytest.mark.parametrize(
    "line",
    ['RUN "<<EOF"', "RUN cat <<<EOF", "RUN x<<EOF", "ENV X <<EOF", "LABEL a=<<EOF", "CMD <<EOF"],
)
def test_what_only_looks_like_a_heredoc_hides_nothing(line: str) -> None:
    assert texts(dockerfile(f"FROM a\n{line}\nFROM evil\nEOF x\n"))[:2] == ["a", "evil"]


def test_a_heredoc_ends_at_its_first_end() -> None:
    text = "FROM a\nONBUILD RUN <<E 3<<-F\nE\n\t\tF\nFROM evil\nRUN <<'Q'\n  Q\nQ\nFROM more\n"
    assert texts(dockerfile(text)) == ["a", "evil", "more"]


def test_directives_count_only_at_the_top() -> None:
    assert texts(dockerfile("#!/bin/x\n# syntax=evil\nFROM a\n")) == ["evil", "a"]
    assert texts(dockerfile("\n# syntax=no\nFROM a\n")) == ["a"]
    assert texts(dockerfile("# words\n# escape=`\nFROM a\\\n\n")) == ["a"]
    assert "escape" in dockerfile("# escape=x\nFROM a\n").troubles[0].message
    assert texts(dockerfile("# syntax=one\n# syntax=two\nFROM a\n")) == ["one", "a"]
    assert texts(dockerfile("# syntax=one")) == ["one"]


def test_an_image_without_a_name_is_no_stage() -> None:
    (one, two) = dockerfile("ARG X=\nFROM a\nFROM ${X}\n").mentions
    assert (one.text, two.text) == ("a", "")
    assert "empty" in two.problem


def test_a_flag_may_come_last() -> None:
    assert texts(dockerfile("FROM a\nCOPY --link --from=b\n")) == ["a", "b"]


def test_onbuild_is_looked_into_as_deep_as_it_goes() -> None:
    text = "FROM a\nONBUILD ONBUILD COPY --from=evil / /\nONBUILD FROM no\nONBUILD\n"
    assert texts(dockerfile(text)) == ["a", "evil"]


@pytest.mark.parametrize(
    "flag", ["type=bind,from=evil", '"from=evil",type=bind', "FROM=evil", "from=evil,from=x"]
)
def test_a_mount_names_an_image(flag: str) -> None:
    found = texts(dockerfile(f"FROM a\nRUN --network=none --mount={flag} true\n"))
    assert "evil" in found


def test_a_mount_that_cannot_be_read_is_told() -> None:
    reading = dockerfile('FROM a\nRUN --mount="from=evil"x,y true\n')
    assert reading.troubles[0].location.line == 2
    assert texts(dockerfile("FROM a\nRUN --mount= --mount=from= true --mount=from=no\n")) == ["a"]
    assert "without an image" in dockerfile("FROM --platform=x\n").troubles[0].message


def test_json_is_read_as_editors_read_it() -> None:
    good = find("devcontainer.json", b'\xef\xbb\xbf{"image": /* a */ "x", // b\n "a": [1, true,],}')
    assert texts(good) == ["x"]
    assert good.mentions[0].location == Location("devcontainer.json", 1, 20)
    for text in ("", "{", '{"a" 1}', "[1 2]", '{"a": "\\x"}', "{} {}", "{a: 1}", '"\n"'):
        assert find("devcontainer.json", text.encode()).troubles, text
    assert not find("devcontainer.json", b'["image"]').mentions


# --- what a file is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Dockerfile", Kind.DOCKERFILE),
        ("a/dockerfile", Kind.DOCKERFILE),
        ("Dockerfile.dev", Kind.DOCKERFILE),
        ("web.Dockerfile", Kind.DOCKERFILE),
        ("Containerfile", Kind.DOCKERFILE),
        ("Dockerfile.dockerignore", None),
        ("Dockerfiles", None),
        ("cli/dockerfile.go", None),
        ("api.dockerfile", Kind.DOCKERFILE),
        ("images.txt", Kind.LIST),
        ("x.list", Kind.LIST),
        ("README.md", None),
        ("devcontainer.json", Kind.DEVCONTAINER),
        (".devcontainer.json", Kind.DEVCONTAINER),
        ("x.json", Kind.JSON),
        ("x.yml", Kind.YAML),
        ("Kustomization", Kind.YAML),
        ("x.yaml.orig", None),
    ],
)
def test_a_name_tells_what_a_file_is(name: str, kind: Kind | None) -> None:
    assert kind_of(name) is kind


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# a list\nnginx\n", ["nginx"]),
        (POD + "spec: {containers: [{image: x}]}\n", ["x"]),
        ('{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "x"}]}}', ["x"]),
        ("# comment\nARG A=1\nFROM x:$A\n", ["x:1"]),
        ("services:\n  a: {image: x}\n", ["x"]),
        ("on: push\njobs: {a: {container: x}}\n", ["x"]),
        ("image: x\nb: {script: y}\n", ["x"]),
        ("runs: {using: docker, image: 'docker://x'}\n", ["x"]),
        (KUSTOMIZATION, ["x:y"]),
    ],
)
def test_what_comes_without_a_name_is_told_by_what_it_says(text: str, found: list[str]) -> None:
    assert texts(find("-", text.encode(), is_named=True)) == found
    assert not find("nobody-asked", text.encode()).mentions


def test_a_template_is_told_from_what_it_renders_to() -> None:
    template = "{{- with .Values.x }}\n" + POD + "{{- end }}\n"
    for path in ("-", "chart/templates/a.yaml", "a.yaml"):
        reading = find(path, template.encode(), is_named=True)
        assert "helm template" in reading.troubles[0].message, path
    assert not find("other.yaml", b"key: '{{ .Values.x }}'\n").troubles
    assert not find("azure.yml", b"${{ if eq(1, 1) }}:\n  pool: x\n").troubles


def test_values_of_a_chart_are_no_references_even_where_they_look_like_it() -> None:
    text = b"services: {a: {image: x}}\n"
    for name in ("values.yaml", "values-prod.yml", "prod-values.yaml", "values.prod.yaml"):
        assert not find(name, text).mentions, name
    assert find(
        "values-of-friends-stack.yaml.yaml", POD.encode() + b"spec: {containers: [{image: x}]}"
    ).mentions


def test_large_files_of_no_known_kind_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATE_FILE_SIZE", 10)
    assert find("package-lock.json", b'{"a": "bbbbbbbbbbbbbb"}') == Reading("package-lock.json")
    assert find("x.json", b'{"apiVersion": "v1", "kind": "x"}').troubles


# --- paths and mentions -----------------------------------------------------------------------


def test_a_path_leads_to_every_item_and_to_nothing_else() -> None:
    text = "apiVersion: a/v1\nkind: Farm\nspec: {pools: [{image: a}, {image: b}, x]}\n"
    chosen = (ImagePath.parse("Farm=spec.pools[*].image"),)
    assert texts(find("x.yaml", text.encode(), paths=chosen)) == ["a", "b"]
    assert texts(find("x.yaml", text.replace("Farm", "Barn").encode(), paths=chosen)) == []
    farm = "{apiVersion: v1, kind: Farm, spec: {pools: [{image: c}]}}"
    inside = f"apiVersion: v1\nkind: List\nitems: [{farm}]\n"
    assert texts(find("x.yaml", inside.encode(), paths=chosen)) == ["c"]


@pytest.mark.parametrize("text", ["", "Farm", "Farm=", "=spec", "Farm=spec..image", "Farm=a[0].b"])
def test_a_path_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        ImagePath.parse(text)


def test_a_mention_has_a_reference_or_a_problem() -> None:
    with pytest.raises(ValueError, match="has to name an image"):
        Mention(Location("x"), "x")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("$$x", "dollar sign"),
        ("${x", "without a name"),
        ("${}", "without a name"),
        ("$", "without a name"),
        ("$1", "without a name"),
        ("${X#y}", "not understood"),
        ("${X:+y}", "no value"),
        ("$[[ x ]]", "input of the CI"),
        ("a$(b)c", "not known"),
        ("{{ x }}", "template"),
        ("${{ x }}", "expression of the CI"),
        ("${X:-}", "empty"),
        ("$X$Y", "variable X"),
        ("https://docker.io/x", "URL"),
        ("@sha256:" + "0" * 64, "not"),
    ],
)
def test_what_names_no_image_says_why(text: str, problem: str) -> None:
    (mention,) = yaml(f"{POD}spec: {{containers: [{{image: '{text}'}}]}}\n").mentions
    assert mention.reference is None
    assert problem in mention.problem
