"""Keys and schemes: what is known, and nothing else."""

from __future__ import annotations

import subprocess
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from imgverify.errors import LimitExceeded, Malformed, Reason
from imgverify.oci.digest import Algorithm, Digest
from imgverify.signature.certificate import Certificate, Pem, decode_pem, load_chain
from imgverify.signature.keys import PublicKey, Scheme
from imgverify.signature.message import Message
from imgverify.signature.pem import read_block, read_blocks
from tests.support import der
from tests.support.authorities import SigningKey, new_key, pem_of, public_pem, spki
from tests.support.translog import text
from tests.unit.signature.refusal import refused

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.signer import Deployment, Signer

DATA = b"what is signed"
MESSAGE = Message.of(DATA)
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def known(key: SigningKey) -> PublicKey:
    return PublicKey.from_der(spki(key))


@pytest.mark.parametrize(
    ("curve", "algorithm", "scheme"),
    [
        ("P-256", hashes.SHA256(), Scheme.ECDSA_SHA256),
        ("P-256", hashes.SHA384(), None),
        ("P-256", hashes.SHA1(), None),  # noqa: S303 - has to be refused
        ("P-384", hashes.SHA384(), Scheme.ECDSA_SHA384),
        ("P-384", hashes.SHA256(), Scheme.ECDSA_SHA256),
        ("P-384", hashes.SHA512(), None),
        ("P-521", hashes.SHA512(), Scheme.ECDSA_SHA512),
        ("P-521", hashes.SHA256(), Scheme.ECDSA_SHA256),
        ("P-521", hashes.SHA384(), None),
    ],
)
def test_a_curve_goes_with_its_hashes(
    curve: str, algorithm: hashes.HashAlgorithm, scheme: Scheme | None
) -> None:
    key = ec.generate_private_key(CURVES[curve])
    signature = key.sign(DATA, ec.ECDSA(algorithm))
    assert known(key).scheme_of(signature, MESSAGE) is scheme
    assert known(key).scheme_of(signature, Message.of(b"other")) is None
    assert known(ec.generate_private_key(CURVES[curve])).scheme_of(signature, MESSAGE) is None


def test_rsa_goes_with_both_paddings(rsa_key: rsa.RSAPrivateKey) -> None:
    key, sha256 = known(rsa_key), hashes.SHA256()
    pkcs1 = rsa_key.sign(DATA, padding.PKCS1v15(), sha256)
    assert key.scheme_of(pkcs1, MESSAGE) is Scheme.RSA_PKCS1_SHA256
    for salt in (padding.PSS.DIGEST_LENGTH, padding.PSS.MAX_LENGTH):
        pss = rsa_key.sign(DATA, padding.PSS(padding.MGF1(sha256), salt), sha256)
        assert key.scheme_of(pss, MESSAGE) is Scheme.RSA_PSS_SHA256
    old = rsa_key.sign(DATA, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - has to be refused
    assert key.scheme_of(old, MESSAGE) is None
    strange = padding.PSS(padding.MGF1(hashes.SHA512()), padding.PSS.DIGEST_LENGTH)
    assert key.scheme_of(rsa_key.sign(DATA, strange, sha256), MESSAGE) is None


def test_edwards_keys_sign_the_bytes() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signature = key.sign(DATA)
    assert known(key).scheme_of(signature, MESSAGE) is Scheme.ED25519
    assert known(key).scheme_of(signature, Message.of(b"other")) is None
    bare = Message(Digest.of(DATA))
    assert known(key).scheme_of(signature, bare) is None
    assert known(key).needs_data(bare)
    assert not known(key).needs_data(MESSAGE)


def test_a_digest_is_enough_for_its_own_hash() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    bare = Message(Digest.of(DATA))
    own = Message(Digest.of(DATA, Algorithm.SHA384))
    native, old = (key.sign(DATA, ec.ECDSA(each)) for each in (hashes.SHA384(), hashes.SHA256()))
    assert known(key).scheme_of(old, bare) is Scheme.ECDSA_SHA256
    assert known(key).scheme_of(native, bare) is None
    assert known(key).scheme_of(native, own) is Scheme.ECDSA_SHA384
    assert known(key).needs_data(bare)
    assert not known(new_key()).needs_data(bare)


@pytest.mark.parametrize(
    "signature", [b"", b"x", b"\x30\x00", b"\x30\x06\2\1\0\2\1\0", b"0" * 9999]
)
@pytest.mark.parametrize("kind", ["ec", "ed", "rsa"])
def test_what_is_no_signature_is_none(
    kind: str, signature: bytes, rsa_key: rsa.RSAPrivateKey
) -> None:
    keys: dict[str, SigningKey] = {
        "ec": new_key(),
        "ed": ed25519.Ed25519PrivateKey.generate(),
        "rsa": rsa_key,
    }
    assert known(keys[kind]).scheme_of(signature, MESSAGE) is None
    assert not known(keys[kind]).verifies(signature, DATA)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP224R1()),
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - has to be refused
    ],
    ids=lambda each: type(each).__name__,
)
def test_other_keys_are_refused(key: ec.EllipticCurvePrivateKey) -> None:
    with refused(Reason.UNSUPPORTED):
        PublicKey.from_der(spki(key))
    with refused(Reason.UNSUPPORTED):
        PublicKey.from_pem(public_pem(key))


def test_a_key_is_read_from_pem(rsa_key: rsa.RSAPrivateKey) -> None:
    for key in (new_key(), rsa_key, ed25519.Ed25519PrivateKey.generate()):
        pem = public_pem(key)
        for data in (pem, b"\n\n" + pem + b"\n", pem.replace(b"\n", b"\r\n")):
            assert PublicKey.from_pem(data) == known(key)
    old = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert b"RSA PUBLIC KEY" in old
    assert PublicKey.from_pem(old) == known(rsa_key)
    assert known(rsa_key).fingerprint == Digest.of(spki(rsa_key))


PEM = public_pem(new_key())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"key",
        PEM * 2,
        PEM[:-5],
        b"text before\n" + PEM,
        PEM + b"text after",
        PEM.replace(b"PUBLIC", b"PRIVATE"),
        PEM.replace(b"\n", b"\n!", 1),
        PEM[:40] + PEM[44:],
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    ],
)
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        PublicKey.from_pem(data)


def test_what_is_no_der_is_refused() -> None:
    for data in (b"", b"x", spki(new_key())[:-1], spki(new_key()) + b"\0"):
        with pytest.raises(Malformed, match="not a public key"):
            PublicKey.from_der(data)


def test_a_key_for_pss_alone_is_refused(rsa_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    """The library would take it for any RSA key, and PKCS #1 signatures by it for good."""
    numbers = rsa_key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.10"))
    data = der.sequence(algorithm, der.element(0x03, b"\0" + numbers))
    with refused(Reason.UNSUPPORTED, "restricted to PSS"):
        PublicKey.from_der(data)
    certificate, key = tmp_path / "a.pem", tmp_path / "a.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa-pss", "-nodes", "-subj", "/CN=pss"]
    command += ["-pkeyopt", "rsa_keygen_bits:2048", "-sha256"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (parsed,) = load_chain(certificate.read_bytes())
    with refused(Reason.UNSUPPORTED, "restricted to PSS"):
        Certificate.parse(parsed.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("key", "right", "wrong"),
    [
        (ec.SECP256R1(), "PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_384"),
        (ec.SECP384R1(), "PKIX_ECDSA_P384_SHA_384", "PKIX_ECDSA_P384_SHA_512"),
        (ec.SECP384R1(), "PKIX_ECDSA_P384_SHA_256", "PKIX_ECDSA_P256_SHA_256"),
        (ec.SECP521R1(), "PKIX_ECDSA_P521_SHA_512", "PKIX_ECDSA_P521_SHA_384"),
        (ec.SECP521R1(), "PKIX_ECDSA_P521_SHA_256", "PKIX_ED25519"),
    ],
)
def test_a_name_of_the_registry_is_of_a_key(key: ec.EllipticCurve, right: str, wrong: str) -> None:
    found = known(ec.generate_private_key(key))
    assert found.used_as(right) == found
    assert found.used_as(wrong) is None
    assert found.used_as("") is None
    assert any(found.is_named(right, each) for each in found.schemes)
    assert not any(found.is_named(wrong, each) for each in Scheme)


def test_a_name_of_the_registry_tells_the_padding(rsa_key: rsa.RSAPrivateKey) -> None:
    key = known(rsa_key)
    for details, scheme in (
        ("PKIX_RSA_PKCS1V15_2048_SHA256", Scheme.RSA_PKCS1_SHA256),
        ("PKCS1_RSA_PKCS1V5", Scheme.RSA_PKCS1_SHA256),
        ("PKIX_RSA_PSS_2048_SHA256", Scheme.RSA_PSS_SHA256),
    ):
        found = key.used_as(details)
        assert found is not None
        assert found.schemes == (scheme,)
    assert key.used_as("PKIX_RSA_PKCS1V15_3072_SHA256") is None
    assert key.is_named("PKIX_RSA_PSS_2048_SHA256", Scheme.RSA_PSS_SHA256)
    assert not key.is_named("PKIX_RSA_PSS_2048_SHA256", Scheme.RSA_PKCS1_SHA256)
    edwards = known(ed25519.Ed25519PrivateKey.generate())
    assert edwards.used_as("PKIX_ED25519") == edwards
    assert edwards.used_as("PKIX_ED25519_PH") is None


def test_a_pem_block_says_what_it_is(deployment: Deployment) -> None:
    signer: Signer = deployment.log_in()
    assert signer.certificate is not None
    der_bytes = signer.certificate.public_bytes(Encoding.DER)
    assert decode_pem(signer.pem) == (Pem.CERTIFICATE, der_bytes)
    assert decode_pem(public_pem(signer.key)) == (Pem.PUBLIC_KEY, spki(signer.key))
    two = pem_of(signer.certificate, *signer.above)
    assert len(load_chain(two)) == 3
    for wrong in (b"", b"x", two, signer.pem + public_pem(signer.key), b"-----BEGIN X-----"):
        with pytest.raises(Malformed, match="not one block"):
            decode_pem(wrong)
    for wrong in (b"", b"x", signer.pem + public_pem(signer.key)):
        with pytest.raises(Malformed, match="not one or more certificates"):
            load_chain(wrong)
    assert len(load_chain(b"Subject: x\n" + signer.pem + b"and another\n" + signer.pem)) == 2


BODY = text(spki(new_key()))
BLOCK = f"-----BEGIN PUBLIC KEY-----\n{BODY}\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    "wrong",
    [
        BLOCK[:-10],
        BLOCK.replace("END PUBLIC", "END PRIVATE"),
        BLOCK.replace(BODY, BODY[:-1]),
        BLOCK.replace(BODY, f"{BODY}QR=="),
        BLOCK.replace(BODY, f"{BODY}\v"),
        BLOCK.replace(BODY, f"Key: value\n\n{BODY}"),
        BLOCK.replace("PUBLIC KEY", "public key"),
        "-----BEGIN " + BLOCK,
    ],
)
def test_a_block_has_one_form(wrong: str) -> None:
    assert read_block(BLOCK.encode()) == ("PUBLIC KEY", b64decode(BODY))
    with pytest.raises(Malformed):
        read_blocks(wrong.encode())
    with pytest.raises(Malformed):
        read_block(wrong.encode())


def test_blocks_are_bounded() -> None:
    assert len(read_blocks(BLOCK.encode() * 16)) == 16
    with pytest.raises(LimitExceeded, match="17 blocks"):
        read_blocks(BLOCK.encode() * 17)
