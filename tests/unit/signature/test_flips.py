"""One changed bit anywhere: refused, except in what nobody signs and nobody believes."""

from __future__ import annotations

import binascii
import contextlib
import random
from base64 import b64decode, b64encode
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from imgverify.errors import SignatureRejected
from imgverify.signature.timestamp import verify_timestamp
from imgverify.signature.trusted import CertificateAuthority
from tests.support.authorities import SIGNED
from tests.support.signer import RECIPES, Deployment, Specimen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.translog import Document

pytestmark = pytest.mark.slow

IMAGE = b'{"schemaVersion":2}'
# Hints: what they point at is known already, or found by its own signature.
HINTS = {
    "verificationMaterial.publicKey.hint",
    "verificationMaterial.x509CertificateChain.certificates.1.rawBytes",
    "annotations.dev.sigstore.cosign/chain",
}
# Of a timestamp some numbers are signed by nobody; see the test of them alone below. One whose
# signer is no longer known is passed over, as if somebody had taken it out.
TIMESTAMPS = {
    "verificationMaterial.timestampVerificationData.rfc3161Timestamps.0.signedTimestamp",
    "annotations.dev.sigstore.cosign/rfc3161timestamp",
}

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - JSON
    """Yield every text of a document, with its path."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, (*path, key))
    elif isinstance(value, str) and value:
        yield path, value


def flips(value: str, rng: random.Random, most: int) -> Iterator[str]:
    """Yield the text with one bit changed at some places; of its bytes, if it is base64."""
    encode: Callable[[bytes], str] = lambda data: b64encode(data).decode()  # noqa: E731 - one line
    try:
        data = b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        data = value.encode()
        encode = lambda data: data.decode("latin-1")  # noqa: E731 - as above
    places = range(len(data))
    for place in rng.sample(places, most) if len(data) > most else places:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(7)
        yield encode(bytes(changed))


def put(document: Document, path: Path, value: str) -> None:
    *steps, last = path
    target: Any = document
    for step in steps:
        target = target[step]
    target[last] = value


def accepted(specimen: Specimen, most: int) -> Counter[str]:
    """Return how many changed signatures held, by the part that was changed."""
    rng, found = random.Random(0), Counter[str]()  # noqa: S311 - repeatable
    genuine, tried = specimen.check().evidence, 0
    for path, value in list(leaves(specimen.document)):
        for changed in flips(value, rng, most):
            document = specimen.copy()
            put(document, path, changed)
            tried += 1
            with contextlib.suppress(SignatureRejected):
                evidence = specimen.having(document).check().evidence
                # What holds in spite of a change still says the same of the same signer.
                assert evidence.time in {genuine.time, None}
                assert (evidence.key, evidence.identity) == (genuine.key, genuine.identity)
                found[".".join(map(str, path))] += 1
    assert tried >= most
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_a_changed_bit_is_noticed(deployment: Deployment, name: str) -> None:
    found = accepted(deployment.make(name, IMAGE), most=48)
    assert set(found) <= HINTS | TIMESTAMPS
    assert sum(found[each] for each in TIMESTAMPS) <= 24


def test_in_a_timestamp_only_versions_and_the_name_of_the_algorithm_are_not_signed(
    deployment: Deployment,
) -> None:
    token, authority = deployment.tsa.stamp(b"x"), CertificateAuthority("a", deployment.tsa.chain)
    held = []
    for place in range(len(token)):
        for bit in range(8):
            changed = bytearray(token)
            changed[place] ^= 1 << bit
            try:
                found = verify_timestamp(bytes(changed), b"x", (authority,))
            except SignatureRejected:
                continue
            # Where a change made it somebody else's, it counts for nothing.
            if found is not None:
                assert found.time == SIGNED
                held.append(place)
    names = bytes.fromhex("06082a8648ce3d040302")
    algorithm = range(token.rindex(names) + 2, token.rindex(names) + len(names))
    versions = {place for place in held if token[place - 2 : place] == b"\2\1"}
    assert len(versions) == 2
    assert set(held) == versions | set(algorithm)
