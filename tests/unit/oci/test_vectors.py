"""Test tables and documents of other projects; they stay outside, in `$IMGVERIFY_VECTORS`.

Every row behaves, or is listed in differences.json with the reason why it does not on purpose.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgverify.errors import ContentError, InvalidReference, Malformed
from imgverify.oci.config import parse_config
from imgverify.oci.descriptor import Descriptor
from imgverify.oci.digest import Content, Digest
from imgverify.oci.manifest import parse_manifest
from imgverify.oci.reference import Reference, Registry
from imgverify.oci.strictjson import loads
from tests.unit.oci.samples import as_list, as_object

VECTORS = os.environ.get("IMGVERIFY_VECTORS", "")
pytestmark = pytest.mark.skipif(not VECTORS, reason="IMGVERIFY_VECTORS names no folder")
DIFFERENCES = Path(__file__).with_name("differences.json")
LARGEST = 4 * 1024 * 1024

Row = dict[str, object]
Check = Callable[[Row], bool]


def listed(source: str) -> set[str]:
    """Return what may differ, written as `table: input`."""
    known = as_object(json.loads(DIFFERENCES.read_text(encoding="utf-8")))
    found: list[str] = []
    for entry in map(as_object, as_list(known[source])):
        assert len(str(entry["reason"])) > 20
        found += map(str, as_list(entry["inputs"]))
    assert len(found) == len(set(found)), "listed twice"
    return set(found)


def text(row: Row) -> str:
    return str(next(row[key] for key in ("input", "value", "combined") if key in row))


def reads(row: Row) -> bool:
    try:
        Reference.parse(text(row))
    except InvalidReference:
        return False
    return True


def refuses(row: Row) -> bool:
    return not reads(row)


def is_named(name: str, domain: str, path: str) -> bool:
    """Tell whether `name` is read as the repository that the table says."""
    repository = Reference.parse(f"{name}:t").repository
    # The grammar alone takes any first component for a domain; to Docker some are namespaces.
    if domain and (set(".:[") & set(domain) or domain == "localhost"):
        return str(repository) == f"{domain.lower()}/{path}"
    whole = f"{domain}/{path}" if domain else path
    return repository.registry.is_docker_hub and repository.path in {whole, f"library/{whole}"}


def is_parsed(row: Row) -> bool:
    if row["err"] is not None:
        return refuses(row)
    if not reads(row):
        return False
    reference = Reference.parse(text(row))
    name, domain = str(row["repository"]), str(row["domain"])
    tag, digest = row["tag"], str(row["digest"])
    return (
        is_named(name, domain, name.removeprefix(f"{domain}/"))
        and reference.tag == (tag or (None if digest else "latest"))
        and str(reference.digest or "") == digest
    )


def is_split(row: Row) -> bool:
    domain = str(row["domain"])
    return is_named(text(row), "" if domain == "docker.io" else domain, str(row["path"]))


def is_canonical_as_said(row: Row) -> bool:
    return (str(Reference.parse(text(row)).repository) == text(row)) == (row["err"] is None)


def is_combined(row: Row) -> bool:
    if not reads(row):
        return False
    reference = Reference.parse(text(row))
    return (reference.tag, str(reference.digest or "")) == (row["tag"], row["digest"] or "")


def is_written(row: Row) -> bool:
    return str(Reference.parse(text(row))) == row["expected"]


def is_a_name(row: Row) -> bool:
    named: Row = {"input": f"{text(row)}:t"}
    if not row["match"]:
        return refuses(named)
    parts = [str(part) for part in as_list(row["subs"] or [])]
    return reads(named) and (not parts or is_named(text(row), parts[0], parts[1]))


def is_an_identifier(row: Row) -> bool:
    try:
        Reference.parse(text(row))
    except InvalidReference as error:
        return ("image ID" in error.message) == row["match"]
    return not row["match"]


def is_a_registry(row: Row) -> bool:
    try:
        Registry.parse(text(row))
    except InvalidReference:
        return False
    return True


def is_no_registry(row: Row) -> bool:
    return not is_a_registry(row)


def is_a_digest(row: Row) -> bool:
    try:
        digest = Digest.parse(text(row))
    except Malformed:
        return row["error"] is not None
    return (digest.algorithm.value, digest.encoded, None) == (
        row["algorithm"],
        row["encoded"],
        row["error"],
    )


REFERENCE_CHECKS: dict[str, Check | None] = {
    "TestReferenceParse/tests": is_parsed,
    "TestDomainAndPath/tests": is_split,
    "TestWithTag/tests": is_combined,
    "TestParseNamed/tests": is_canonical_as_said,
    "TestValidateReferenceName/invalidRepoNames": refuses,
    "TestValidateRemoteName/invalidRepositoryNames": refuses,
    "TestParseRepositoryInfo/refStrings": None,  # names of variables, no values
    "TestNormalizedSplitHostname/tests": is_split,
    "TestParseDockerRef/tests": is_written,
    "TestFullNameRegexp/tests": is_a_name,
    "TestIdentifierRegexp/tests": is_an_identifier,
}
NAME_CHECKS: dict[str, Check | None] = {
    "(package level)/goodStrictValidationDigestNames": reads,
    "(package level)/goodStrictValidationTagDigestNames": reads,
    "(package level)/goodWeakValidationDigestNames": reads,
    "(package level)/goodWeakValidationTagDigestNames": reads,
    "(package level)/badDigestNames": refuses,
    "(package level)/inputDefaultNames": reads,
    "(package level)/outputDefaultNames": reads,
    # The default registry is Docker Hub and cannot be set.
    "TestDefaultRegistryNames/testRegistries": None,
    "TestOverrideDefaultRegistryNames/testRegistries": None,
    "TestOverrideDefaultRegistryNames/expectedRegistries": None,
    # Which addresses are private is not a question of references.
    "TestIsRFC1918/tests": None,
    # No name means plain HTTP.
    "TestRegistryScheme/tests": None,
    "(package level)/goodStrictValidationRegistryNames": is_a_registry,
    "(package level)/goodWeakValidationRegistryNames": is_a_registry,
    "(package level)/badRegistryNames": is_no_registry,
    "(package level)/goodStrictValidationRepositoryNames": reads,
    "(package level)/goodWeakValidationRepositoryNames": reads,
    "(package level)/badRepositoryNames": refuses,
    "(package level)/goodStrictValidationTagNames": reads,
    "(package level)/goodWeakValidationTagNames": reads,
    "(package level)/badTagNames": refuses,
}
DIGEST_CHECKS: dict[str, Check | None] = {"TestParseDigest/tests": is_a_digest}


@pytest.mark.parametrize(
    ("source", "checks"),
    [
        ("distribution-reference", REFERENCE_CHECKS),
        ("go-containerregistry-name", NAME_CHECKS),
        ("go-digest", DIGEST_CHECKS),
    ],
)
def test_every_row_of_a_table_behaves_or_is_listed(
    source: str, checks: dict[str, Check | None]
) -> None:
    file = Path(VECTORS, "tables", f"{source}.json")
    differing, tables = set(), set()
    for table in as_list(as_object(json.loads(file.read_text(encoding="utf-8")))["tables"]):
        fields = as_object(table)
        name = f"{fields['test']}/{fields['var']}"
        tables.add(name)
        check = checks[name]
        rows = map(as_object, as_list(fields["cases"]))
        differing |= {f"{fields['var']}: {text(row)}" for row in rows if check and not check(row)}
    assert tables == set(checks)
    assert differing == listed(source)


def is_read(kind: str, data: bytes, layers: int) -> bool:
    try:
        if kind == "config":
            parse_config(Content.of(data), layers=layers)
        elif kind == "descriptor":
            Descriptor.from_json(loads(data))
        else:
            parse_manifest(Content.of(data))
    except ContentError:
        return False
    return True


KINDS = {
    "application/vnd.oci.image.config.v1%2Bjson": "config",
    "application/vnd.oci.descriptor.v1%2Bjson": "descriptor",
    "application/vnd.oci.image.index.v1%2Bjson": "manifest",
    "application/vnd.oci.image.manifest.v1%2Bjson": "manifest",
}
EXAMPLE = re.compile(
    r"^ *```json,title=\S+?&mediatype=(\S+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE
)


def test_every_example_of_the_image_specification_is_read() -> None:
    seen = 0
    for file in sorted(Path(VECTORS, "image-spec").glob("*.md")):
        for media_type, example in EXAMPLE.findall(file.read_text(encoding="utf-8")):
            if media_type in KINDS:
                seen += 1
                assert is_read(KINDS[media_type], example.encode(), 2), f"{file.name}: {example}"
    assert seen >= 12


def documents() -> Iterator[tuple[str, str, bytes, int]]:
    """Yield the manifests and configs among the files: path, kind, bytes, number of layers."""
    for file in sorted(Path(VECTORS).rglob("*")):
        if not file.is_file() or file.stat().st_size > LARGEST:
            continue
        data = file.read_bytes()
        try:
            document = json.loads(data)
        except ValueError:
            continue
        path, keys = file.relative_to(VECTORS).as_posix(), set()
        if isinstance(document, dict):
            keys = document.keys() & {"schemaVersion", "layers", "manifests", "fsLayers", "config"}
            if isinstance(document.get("rootfs"), dict):
                diff_ids = document["rootfs"].get("diff_ids") or []
                yield path, "config", data, len(diff_ids)
        if "schemaVersion" in keys and len(keys) > 1:
            yield path, "manifest", data, 0


def test_every_document_of_other_projects_is_read_or_is_listed() -> None:
    found = list(documents())
    assert len(found) > 200
    refused = {path for path, kind, data, layers in found if not is_read(kind, data, layers)}
    assert refused == listed("documents")
