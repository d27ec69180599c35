"""Every known threat has a test whose name says so, and docs/threats.md says where it is."""

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "threats.md"

# Here as well as on the page, so that a row cannot get lost there unnoticed.
SLUGS = {
    "Transport and authentication": (
        "realm-exfil",
        "foreign-url-creds",
        "redirect-auth-strip",
        "redirect-custom-headers",
        "server-urls-one-door",
        "netrc-env",
        "proxy-auth-leak",
        "no-http-fallback",
        "insecure-scope",
        "cred-host-match",
        "cross-source-creds",
        "ssrf-dial-guard",
        "url-parser-differential",
        "header-injection-parse",
    ),
    "References": (
        "hub-normalise",
        "prefix-boundary",
        "tag-digest-confusion",
        "regex-newline-unicode",
        "homograph-host",
        "path-traversal-ref",
        "implicit-insecure-localhost",
        "arg-injection",
    ),
    "Manifests": (
        "type-confusion",
        "registry-down-convert",
        "schema1-signed-part",
        "dup-and-case-keys",
        "json-dialect",
        "json-types-limits",
        "malformed-crash",
        "descriptor-size",
        "platform-choice",
    ),
    "Digests and comparison": (
        "pinned-digest-ignored",
        "header-digest-trust",
        "compare-via-same-path",
        "stale-tag-freeze",
        "fallback-inherits-ok",
        "304-unverified",
        "upstream-down-fail-open",
        "algorithm-policy",
        "hash-raw-bytes",
        "partial-coverage",
        "tag-moves-mid-compare",
    ),
    "Blobs and layers": (
        "process-before-verify",
        "tar-extraction",
        "tar-loop-bomb",
        "archive-load",
        "diffid-claims",
        "cache-poison",
        "no-pickle",
        "temp-files",
    ),
    "Signatures": (
        "rekor-entry-binding",
        "time-authenticated",
        "threshold-distinct",
        "key-cert-validity",
        "tsa-cert",
        "attestation-type",
        "nothing-found-exit",
        "crash-exit",
        "identity-regex",
        "issuer-required",
        "policy-field-ignored",
        "presence-is-not-trust",
        "payload-binding",
        "name-binding",
        "dsse-strict",
        "index-vs-platform",
        "trust-material",
    ),
    "Refreshed trust": (
        "root-expiry-freeze",
        "tuf-threshold",
        "tuf-rollback",
        "mix-and-match",
    ),
    "Policy": (
        "empty-combinators",
        "exceptions-scope",
        "config-provenance",
        "yaml-semantics",
        "policy-regex-dos",
    ),
    "Gate and reports": ("all-container-kinds", "ci-commands", "report-formats"),
    "Denial of service": (
        "http-decompression",
        "slow-and-endless",
        "pagination-fanout",
        "split-parse-alloc",
        "regex-idna-cpu",
        "disk-exhaustion",
    ),
}
# A row that is about a module is due once there is the module.
DUE_WITH = {"ssrf-dial-guard": ROOT / "imgverify" / "registry" / "guard.py"}


@dataclass(frozen=True, slots=True)
class Row:
    section: str
    slug: str
    requirement: str
    files: tuple[str, ...]


def rows(page: str) -> Iterator[Row]:
    section = ""
    for line in page.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        found = re.fullmatch(r"\| `([a-z0-9-]+)` \| (.+) \| (.*) \|", line)
        if found:
            yield Row(section, found[1], found[2], tuple(re.findall(r"`([^`]+)`", found[3])))


ROWS = tuple(rows(PAGE.read_text(encoding="utf-8")))


def carries(name: str, slug: str) -> bool:
    return f"_{slug.replace('-', '_')}_" in f"{name}_"


@functools.cache
def functions(source: str) -> tuple[str, ...]:
    """The names of the functions that pytest takes for tests, methods of test classes included."""
    tree = ast.parse(source)
    classes = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    bodies = [tree.body, *(each.body for each in classes if each.name.startswith("Test"))]
    names = [[each.name for each in body if isinstance(each, ast.FunctionDef)] for body in bodies]
    # Of two functions of one name the first is never run.
    return tuple(
        name
        for each in names
        for name in each
        if name.startswith("test_") and each.count(name) == 1
    )


def complaints(row: Row, root: Path) -> Iterator[str]:
    if not row.files:
        yield f"{row.slug} names no test"
    for file in row.files:
        path = root / file
        if not (file.startswith("tests/") and path.name.startswith("test_") and path.is_file()):
            yield f"{row.slug}: {file} is no file of tests"
        elif not any(carries(each, row.slug) for each in functions(path.read_text("utf-8"))):
            yield f"{row.slug}: {file} has no test of that name"


DUE = [row for row in ROWS if row.slug not in DUE_WITH or DUE_WITH[row.slug].exists()]


def test_the_page_has_every_row_once_and_in_order() -> None:
    expected = [(section, slug) for section, slugs in SLUGS.items() for slug in slugs]
    assert [(row.section, row.slug) for row in ROWS] == expected
    assert len(expected) == 85


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.slug)
def test_a_requirement_is_one_sentence(row: Row) -> None:
    assert re.fullmatch(r"[A-Z][^|]{20,250}\.", row.requirement)
    assert ". " not in row.requirement


@pytest.mark.parametrize("row", DUE, ids=lambda row: row.slug)
def test_a_row_has_the_tests_that_it_names(row: Row) -> None:
    assert list(complaints(row, ROOT)) == []


def test_what_is_named_is_collected(request: pytest.FixtureRequest) -> None:
    """Where everything below a folder was asked for, everything of it that is named has to run."""
    config = request.config
    folders = [Path(each).resolve() for each in config.args if Path(each).is_dir()]
    selected = config.option.keyword or config.option.markexpr
    collected: dict[str, set[str]] = {}
    for item in request.session.items:
        file = item.path.relative_to(ROOT).as_posix()
        collected.setdefault(file, set()).add(getattr(item, "originalname", item.name))
    for row in DUE:
        for file in row.files:
            whole = any((ROOT / file).is_relative_to(each) for each in folders) and not selected
            names = collected.get(file, set())
            assert not whole or any(carries(each, row.slug) for each in names), (row.slug, file)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def test_realm_exfil_x(): pass", True),
        ("def test_x_realm_exfil(): pass", True),
        ("class TestIt:\n    def test_realm_exfil_x(self): pass", True),
        ("class It:\n    def test_realm_exfil_x(self): pass", False),
        ("def realm_exfil_x(): pass", False),
        ("def test_realm_exfiltration(): pass", False),
        ("if False:\n    def test_realm_exfil_x(): pass", False),
        ("def test_realm_exfil_x(): pass\ndef test_realm_exfil_x(): pass", False),
        ("", False),
    ],
)
def test_a_missing_test_is_noticed(tmp_path: Path, source: str, *, found: bool) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(source, encoding="utf-8")
    row = Row("", "realm-exfil", "", ("tests/test_it.py",))
    assert (list(complaints(row, tmp_path)) == []) is found
    assert list(complaints(Row("", "realm-exfil", "", ()), tmp_path))
    assert list(complaints(Row("", "realm-exfil", "", ("tests/test_other.py",)), tmp_path))


def test_a_row_that_is_lost_on_the_page_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    without = re.sub(r"(?m)^\| `realm-exfil`.*\n", "", page)
    assert {each.slug for each in ROWS} - {each.slug for each in rows(without)} == {"realm-exfil"}
