"""Timestamps: who may make them, over what, and in what form they come."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from imgverify.errors import LimitExceeded, Malformed, Reason
from imgverify.oci import limits
from imgverify.signature.der import Element, elements, sorted_certificates
from imgverify.signature.timestamp import verify_timestamp
from imgverify.signature.trusted import CertificateAuthority
from tests.support import der
from tests.support.authorities import (
    SECOND,
    SHA256,
    SIGNED,
    YEAR,
    Issuer,
    TimestampAuthority,
    name,
    new_key,
    usage,
)
from tests.unit.signature.refusal import refused

DATA = b"the signature"
SHA1, SHA384, SHA512 = "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3"


@pytest.fixture
def root() -> Issuer:
    return Issuer.root("timestamp root")


@pytest.fixture
def tsa(root: Issuer) -> TimestampAuthority:
    return TimestampAuthority.below(root.issuer("timestamp intermediate"))


def trusted(chain: tuple[x509.Certificate, ...]) -> tuple[CertificateAuthority, ...]:
    return (CertificateAuthority("the authority", chain),)


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("hash_oid", [SHA256, SHA384, SHA512])
def test_a_timestamp_says_when(tsa: TimestampAuthority, hash_oid: str, *, embedded: bool) -> None:
    bag = tsa.chain if embedded else ()
    token = tsa.stamp(DATA, embedded=bag, hash_oid=hash_oid)
    found = verify_timestamp(token, DATA, trusted(tsa.chain))
    assert found is not None
    assert (found.time, found.authority.name) == (SIGNED, "the authority")


def test_a_timestamp_is_about_one_signature(tsa: TimestampAuthority) -> None:
    with refused(Reason.TIMESTAMP_MISMATCH):
        verify_timestamp(tsa.stamp(DATA), b"another signature", trusted(tsa.chain))
    with refused(Reason.TIMESTAMP_MISMATCH):
        verify_timestamp(tsa.stamp(DATA, hash_oid=SHA1), DATA, trusted(tsa.chain))


def test_tsa_cert_an_authority_that_is_not_known_counts_for_nothing(
    root: Issuer, tsa: TimestampAuthority
) -> None:
    other = TimestampAuthority.below(Issuer.root("another root"))
    assert verify_timestamp(tsa.stamp(DATA), DATA, ()) is None
    assert verify_timestamp(tsa.stamp(DATA), DATA, trusted(other.chain)) is None
    # Not even with all its certificates in the token.
    token = other.stamp(DATA, embedded=other.chain)
    assert verify_timestamp(token, DATA, trusted(tsa.chain)) is None
    # A sister of the authority is not the authority, where the root names one.
    sister = TimestampAuthority.below(root)
    assert verify_timestamp(sister.stamp(DATA), DATA, trusted(tsa.chain)) is None


def test_somebody_who_takes_the_authority_s_name_is_found_out(tsa: TimestampAuthority) -> None:
    """The same issuer and serial number, another key."""
    forger = TimestampAuthority(new_key(), tsa.chain)
    with refused(Reason.TIMESTAMP_INVALID, "did not sign"):
        verify_timestamp(forger.stamp(DATA), DATA, trusted(tsa.chain))
    with refused(Reason.TIMESTAMP_INVALID, "did not sign"):
        verify_timestamp(forger.stamp(DATA, embedded=tsa.chain), DATA, trusted(tsa.chain))


def test_a_root_may_name_only_those_who_issue_authorities(
    root: Issuer, tsa: TimestampAuthority
) -> None:
    """Then the signer's certificate has to come with the token, and to lead to the root."""
    above = trusted(tsa.chain[1:])
    found = verify_timestamp(tsa.stamp(DATA, embedded=tsa.chain[:1]), DATA, above)
    assert found is not None
    alone = trusted((root.certificate,))
    assert verify_timestamp(tsa.stamp(DATA, embedded=tsa.chain), DATA, alone) is not None
    assert verify_timestamp(tsa.stamp(DATA, embedded=tsa.chain[:2]), DATA, alone) is not None
    assert verify_timestamp(tsa.stamp(DATA), DATA, above) is None
    other = TimestampAuthority.below(Issuer.root("another root"))
    assert verify_timestamp(other.stamp(DATA, embedded=other.chain), DATA, above) is None


@pytest.mark.parametrize(
    ("purposes", "critical", "ca"),
    [
        ((), True, False),
        ((ExtendedKeyUsageOID.CODE_SIGNING,), True, False),
        ((ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING), True, False),
        ((ExtendedKeyUsageOID.TIME_STAMPING,), False, False),
    ],
)
def test_tsa_cert_an_authority_s_certificate_is_for_timestamps_alone(
    root: Issuer,
    purposes: tuple[x509.ObjectIdentifier, ...],
    *,
    critical: bool,
    ca: bool,
) -> None:
    tsa = TimestampAuthority.below(root, purposes=purposes, critical=critical, ca=ca)
    with refused(Reason.TIMESTAMP_INVALID, "for nothing else"):
        verify_timestamp(tsa.stamp(DATA), DATA, trusted(tsa.chain))


def test_an_issuer_s_certificate_stamps_nothing(root: Issuer) -> None:
    tsa = TimestampAuthority.below(root, ca=True)
    assert verify_timestamp(tsa.stamp(DATA), DATA, trusted(tsa.chain)) is None
    with refused(Reason.TIMESTAMP_INVALID, "for nothing else"):
        token = tsa.stamp(DATA, embedded=tsa.chain[:1])
        verify_timestamp(token, DATA, trusted((root.certificate,)))


def test_tsa_cert_certificates_have_to_be_valid_when_they_vouch_and_not_later(root: Issuer) -> None:
    past = SIGNED - YEAR / 4, SIGNED + SECOND
    tsa = TimestampAuthority.below(root, period=past)
    assert verify_timestamp(tsa.stamp(DATA), DATA, trusted(tsa.chain)) is not None
    for wrong in (SIGNED + 2 * SECOND, past[0] - SECOND):
        with refused(Reason.TIMESTAMP_TIME, wrong.isoformat()):
            verify_timestamp(tsa.stamp(DATA, wrong), DATA, trusted(tsa.chain))
    short = TimestampAuthority.below(root.issuer("short", until=SIGNED - SECOND))
    with refused(Reason.TIMESTAMP_TIME):
        verify_timestamp(short.stamp(DATA), DATA, trusted(short.chain))


def test_several_authorities_are_tried(tsa: TimestampAuthority) -> None:
    other = TimestampAuthority.below(Issuer.root("another root"))
    both = trusted(other.chain) + trusted(tsa.chain)
    assert verify_timestamp(tsa.stamp(DATA), DATA, both) is not None
    # The same certificate under a root that did not issue it does not spoil the other.
    twice = trusted((tsa.chain[0], *other.chain[1:])) + trusted(tsa.chain)
    assert verify_timestamp(tsa.stamp(DATA), DATA, twice) is not None
    with refused(Reason.TIMESTAMP_TIME):
        verify_timestamp(tsa.stamp(DATA), DATA, twice[:1])


@pytest.mark.parametrize("status", [1, 2, 3, 4, 5, 6, 99])
def test_what_was_not_granted_is_no_timestamp(tsa: TimestampAuthority, status: int) -> None:
    # Whoever made it: a refusal is no timestamp of somebody unknown.
    for authorities in (trusted(tsa.chain), ()):
        with refused(Reason.TIMESTAMP_INVALID):
            verify_timestamp(tsa.stamp(DATA, status=status), DATA, authorities)


@pytest.mark.parametrize("data", [b"", b"\0", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"x" * 99])
def test_what_is_no_timestamp_is_refused(tsa: TimestampAuthority, data: bytes) -> None:
    with refused(Reason.TIMESTAMP_INVALID):
        verify_timestamp(data, DATA, trusted(tsa.chain))


def test_a_timestamp_has_bounds(tsa: TimestampAuthority) -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        verify_timestamp(b"x" * (limits.TIMESTAMP_SIZE + 1), DATA, trusted(tsa.chain))
    many = tuple(Issuer.root(f"root {number}").certificate for number in range(17))
    with pytest.raises(LimitExceeded, match="17 certificates"):
        verify_timestamp(tsa.stamp(DATA, embedded=many), DATA, trusted(tsa.chain))


def test_certificates_need_not_be_in_order(tsa: TimestampAuthority) -> None:
    """openssl and several authorities write them as they come."""
    for bag in (tsa.chain, tsa.chain[::-1]):
        token = tsa.stamp(DATA, embedded=bag, ordered=False)
        assert verify_timestamp(token, DATA, trusted(tsa.chain)) is not None
        ordered = sorted_certificates(token)
        assert sorted(ordered) == sorted(token)
        assert sorted_certificates(ordered) == ordered
    ordered = tsa.stamp(DATA, embedded=tsa.chain)
    assert sorted_certificates(ordered) == ordered
    alone = tsa.stamp(DATA)
    assert sorted_certificates(alone) == alone


def test_elements_end_where_they_say() -> None:
    data = der.sequence(der.integer(5), der.octets(b"x" * 200), der.octets(b"y" * 70000))
    whole = Element(0x30, 0, 0, len(data))
    (outer,) = elements(data, whole)
    assert [each.tag for each in elements(data, outer)] == [2, 4, 4]
    assert [each.end - each.content for each in elements(data, outer)] == [1, 200, 70000]
    for cut in (1, 2, 3, len(data) - 1):
        with pytest.raises(Malformed, match="not written in DER"):
            elements(data[:cut], Element(0x30, 0, 0, cut))
    for wrong in (b"\x30\x80\0\0", b"\x30\x85\0\0\0\0\1x", b"\x30"):
        with pytest.raises(Malformed, match="not written in DER"):
            elements(wrong, Element(0x30, 0, 0, len(wrong)))


def test_an_authority_may_be_its_own_root() -> None:
    root = Issuer.root("self")
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (usage(signs_data=True, signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True),
    ]
    period, key = (SIGNED - YEAR, SIGNED + YEAR), new_key()
    own = Issuer(key, root.sign(key, period, extensions, subject=name("self")))
    own = Issuer(key, own.sign(key, period, extensions, subject=name("self")))
    tsa = TimestampAuthority(key, (own.certificate,))
    assert verify_timestamp(tsa.stamp(DATA), DATA, trusted(tsa.chain)) is not None
