"""Trusted roots: every window and key is taken as it is written, or the file is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from imgverify.errors import InputError, Reason
from imgverify.signature.trusted import ALWAYS, Thresholds, Window
from imgverify.trust.trustedroot import parse_trusted_roots
from tests.support.authorities import SIGNED, YEAR, spki
from tests.support.signer import RECIPES, Deployment
from tests.support.translog import Document, compact, text
from tests.unit.signature.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = b'{"schemaVersion":2}'
LISTS = ("tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities")


def test_a_root_is_read(deployment: Deployment) -> None:
    (root,) = parse_trusted_roots(compact(deployment.trusted_root()), "the root")
    assert root.name == "the root"
    assert [each.name for each in root.logs] == ["https://rekor.example", "https://log2026.example"]
    assert [each.chain for each in root.authorities] == [deployment.authority.chain]
    assert [each.chain for each in root.timestamp_authorities] == [deployment.tsa.chain]
    assert root.ct_logs[0].log_id == deployment.ct_log.log_id
    assert root.logs[0].window == Window(SIGNED - YEAR)
    assert root.log(deployment.tiles.log_id) is root.logs[1]
    assert root.log(b"another") is None


@pytest.mark.parametrize(
    ("present", "needed"),
    [
        (LISTS, Thresholds(1, 1, 0)),
        (("tlogs",), Thresholds(1, 0, 0)),
        (("ctlogs", "timestampAuthorities"), Thresholds(0, 1, 1)),
        (("timestampAuthorities",), Thresholds(0, 0, 1)),
        (("tlogs", "timestampAuthorities"), Thresholds(1, 0, 0)),
        (("certificateAuthorities",), Thresholds()),
        ((), Thresholds()),
    ],
)
def test_what_a_deployment_has_is_what_it_needs(
    deployment: Deployment, present: tuple[str, ...], needed: Thresholds
) -> None:
    document = deployment.trusted_root()
    for each in set(LISTS) - set(present):
        del document[each]
    (root,) = parse_trusted_roots(compact(document), "the root")
    assert root.thresholds == needed


@pytest.mark.parametrize("empty", [[], None])
def test_an_empty_list_is_none(deployment: Deployment, empty: object) -> None:
    document = deployment.trusted_root() | dict.fromkeys(LISTS, empty)
    (root,) = parse_trusted_roots(compact(document), "the root")
    assert root.thresholds == Thresholds()


def test_trust_material_a_log_with_a_key_of_a_new_kind_is_kept_and_not_believed(
    deployment: Deployment,
) -> None:
    """It must not count as "no log", which would make the demand for one go away."""
    for details in ("PKIX_ML_DSA_65", "PKIX_ED25519_PH", "PKIX_ECDSA_P384_SHA_384"):
        document = deployment.trusted_root()
        for log in (*document["tlogs"], *document["ctlogs"]):
            log["publicKey"]["keyDetails"] = details
            if details == "PKIX_ML_DSA_65":
                log["publicKey"]["rawBytes"] = text(b"of a form that nobody knows yet")
        (root,) = parse_trusted_roots(compact(document), "the root")
        assert root.thresholds == Thresholds(1, 1, 0)
        specimen = deployment.make("keyless, Rekor v1", IMAGE)
        with refused(Reason.LOG_UNKNOWN):
            specimen.asking(roots=(root,)).check()


def test_a_log_with_a_weak_key_is_kept_and_not_believed(deployment: Deployment) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - has to be refused
    document = deployment.trusted_root()
    document["tlogs"][0]["publicKey"] |= {
        "rawBytes": text(spki(weak)),
        "keyDetails": "PKIX_RSA_PKCS1V5",
    }
    (root,) = parse_trusted_roots(compact(document), "the root")
    assert (root.logs[0].key, root.thresholds.logs) == (None, 1)


def test_a_file_may_have_a_root_on_each_line(deployment: Deployment) -> None:
    other = Deployment()
    lines = [compact(each.trusted_root()) for each in (deployment, other)]
    roots = parse_trusted_roots(b"\n".join(lines), "the file")
    for data in (b"\n".join([*lines, b""]), b"\n\n".join(lines), b"\r\n".join(lines)):
        assert parse_trusted_roots(data, "the file") == roots
        assert [each.name for each in roots] == ["the file, line 1", "the file, line 2"]
    for each in (deployment, other):
        specimen = each.make("keyless, Rekor v1", IMAGE)
        specimen.asking(roots=roots).check()
    pretty = json.dumps({"first": {}} | deployment.trusted_root(), indent=2).encode()
    for data in (pretty, pretty.replace(b"{\n", b"{", 1)):
        assert len(parse_trusted_roots(data, "pretty")) == 1
    with pytest.raises(InputError, match="is not a trusted root"):
        parse_trusted_roots(b"\n".join([*lines, b"garbage"]), "the file")
    with pytest.raises(InputError, match="17 trusted roots, 16 are the most"):
        parse_trusted_roots(b"\n".join([lines[0]] * 17), "the file")


def test_a_private_deployment_beside_the_public_one(deployment: Deployment) -> None:
    """Timestamps alone in one, logs and promises in the other: each keeps its own demands."""
    public = Deployment()
    private = RECIPES["keyless, timestamp only"]
    roots = (*public.roots(), *deployment.roots(private))
    deployment.make("keyless, timestamp only", IMAGE).asking(roots=roots).check()
    public.make("keyless, Rekor v1", IMAGE).asking(roots=roots).check()
    bare = public.make("keyless, timestamp only", IMAGE)
    with refused(Reason.LOG_MISSING):
        bare.asking(roots=roots).check()


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.000Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_read(deployment: Deployment, written: str, time: datetime) -> None:
    document = deployment.trusted_root()
    document["certificateAuthorities"][0]["validFor"] = {"start": written, "end": written}
    (root,) = parse_trusted_roots(compact(document), "the root")
    assert root.authorities[0].window == Window(time, time)


def test_without_a_window_the_certificates_say_it(deployment: Deployment) -> None:
    document = deployment.trusted_root()
    del document["certificateAuthorities"][0]["validFor"]
    document["tlogs"][0]["publicKey"]["validFor"] = None
    (root,) = parse_trusted_roots(compact(document), "the root")
    assert (root.authorities[0].window, root.logs[0].window) == (ALWAYS, ALWAYS)


def change(*path: str | int, to: object = ...) -> Callable[[Document], None]:
    def apply(document: Document) -> None:
        *steps, last = path
        value: Any = document
        for step in steps:
            value = value[step]
        if to is ...:
            del value[last]
        else:
            value[last] = to

    return apply


AUTHORITY = ("certificateAuthorities", 0)
CHAIN = (*AUTHORITY, "certChain")
KEY = ("tlogs", 0, "publicKey")
START = ("timestampAuthorities", 0, "validFor", "start")
LATER = "application/vnd.dev.sigstore.trustedroot+json;version=0.9"

WRONG: list[tuple[str, Callable[[Document], None]]] = [
    ("no type", change("mediaType")),
    ("another type", change("mediaType", to="application/json")),
    ("another version", change("mediaType", to=LATER)),
    ("logs are an object", change("tlogs", to={})),
    ("a log is text", change("tlogs", 0, to="x")),
    ("no key", change(*KEY)),
    ("no details", change(*KEY, "keyDetails")),
    ("no bytes", change(*KEY, "rawBytes")),
    ("bytes are no key", change(*KEY, "rawBytes", to="eA==")),
    ("no ID", change("tlogs", 0, "logId")),
    ("an empty ID", change("tlogs", 0, "logId", "keyId", to="")),
    ("another hash", change("tlogs", 0, "hashAlgorithm", to="SHA2_512")),
    ("window is text", change(*KEY, "validFor", to="2026")),
    ("no start", change(*KEY, "validFor", to={})),
    ("only an end", change(*KEY, "validFor", to={"end": "2026-01-01T00:00:00Z"})),
    ("no start of an authority", change(*AUTHORITY, "validFor", to={})),
    ("start is no time", change(*START, to="2026-01-01")),
    ("start has no zone", change(*START, to="2026-01-01T00:00:00")),
    ("start is no date", change(*START, to="2026-13-01T00:00:00Z")),
    ("start is too early", change(*START, to="0001-01-01T00:00:00+09:00")),
    ("start is a number", change(*START, to=5)),
    ("no chain", change(*CHAIN)),
    ("an empty chain", change(*CHAIN, to={"certificates": []})),
    ("no certificate", change(*CHAIN, "certificates", 0, to={"rawBytes": "eA=="})),
    ("another case", change("TLogs", to=[])),
    ("snake case", change("certificate_authorities", to=[])),
]


@pytest.mark.parametrize("apply", [each[1] for each in WRONG], ids=[each[0] for each in WRONG])
def test_what_is_no_trusted_root_is_refused(
    deployment: Deployment, apply: Callable[[Document], None]
) -> None:
    document = deployment.trusted_root()
    apply(document)
    with pytest.raises(InputError, match="the root is not a trusted root"):
        parse_trusted_roots(compact(document), "the root")


@pytest.mark.parametrize("data", [b"", b"\n", b"{", b"[]", b"{}", b"\xff", b"{}\n{}"])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="is not a trusted root"):
        parse_trusted_roots(data, "the root")


def test_two_logs_with_one_id_are_refused(deployment: Deployment) -> None:
    document = deployment.trusted_root()
    document["tlogs"].append(document["tlogs"][0])
    with pytest.raises(InputError, match="two logs with the same ID"):
        parse_trusted_roots(compact(document), "the root")


def test_a_log_may_mark_checkpoints_otherwise(deployment: Deployment) -> None:
    document = deployment.trusted_root()
    document["tlogs"][1]["checkpointKeyId"] = {"keyId": text(b"other")}
    (root,) = parse_trusted_roots(compact(document), "the root")
    assert root.logs[1].hint == b"othe"
    assert root.logs[0].hint == deployment.rekor.log_id[:4]
    assert root.logs[0].key is not None
    assert root.logs[0].key.spki == spki(deployment.rekor.key)


def test_names_may_be_missing(deployment: Deployment) -> None:
    document = deployment.trusted_root()
    del document["tlogs"][0]["baseUrl"]
    del document["tlogs"][0]["hashAlgorithm"]
    del document["certificateAuthorities"][0]["uri"]
    (root,) = parse_trusted_roots(compact(document), "the root")
    assert root.logs[0].name == "(a log without a name)"
    assert root.authorities[0].name == "O=throw-away,CN=intermediate"
