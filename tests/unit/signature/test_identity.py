"""Whom a certificate names: exactly, by whole-text pattern, and never without an issuer."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import InputError, LimitExceeded, Malformed, Reason
from imgverify.oci import limits
from imgverify.signature.certificate import Certificate
from imgverify.signature.identity import (
    Exactly,
    Extension,
    Identity,
    Matching,
    NameKind,
    Subject,
    SubjectName,
)
from tests.support import der
from tests.support.authorities import FULCIO, Login, der_of, email, uri
from tests.support.signer import ISSUER, WHO, Deployment, Specimen
from tests.unit.signature.refusal import refused

IMAGE = b'{"schemaVersion":2}'
REPOSITORY = "https://github.com/acme/app"
WORKFLOW = f"{REPOSITORY}/.github/workflows/release.yml@refs/tags/v1.0.0"
GITHUB = "https://token.actions.githubusercontent.com"
FORM = "keyless, Rekor v1"
USERNAME = x509.ObjectIdentifier(f"{FULCIO}.7")


def signed(deployment: Deployment, login: Login, identity: Identity) -> Specimen:
    return deployment.make(FORM, IMAGE, deployment.log_in(login)).asking(signer=identity)


@pytest.mark.parametrize(
    ("login", "text"),
    [
        (email(WHO), WHO),
        (uri(WORKFLOW), WORKFLOW),
        (
            uri("spiffe://cluster.local/ns/build/sa/signer"),
            "spiffe://cluster.local/ns/build/sa/signer",
        ),
        (Login(x509.OtherName(USERNAME, der.utf8("bob!login.example"))), "bob!login.example"),
        (Login(x509.DNSName("builder.example.com")), "builder.example.com"),
    ],
)
def test_every_kind_of_name_is_read(deployment: Deployment, login: Login, text: str) -> None:
    evidence = signed(deployment, login, Identity.exactly(text, ISSUER)).check().evidence
    assert evidence.identity is not None
    assert (evidence.identity.name, evidence.identity.issuer) == (text, ISSUER)


def test_an_address_in_a_uri_is_another_name(deployment: Deployment) -> None:
    for login in (uri(WHO), Login(x509.DNSName(WHO))):
        with refused(Reason.IDENTITY_MISMATCH):
            signed(deployment, login, Identity.exactly(WHO, ISSUER)).check()


NEAR_MISSES = [
    WORKFLOW.replace("acme", "acme-evil"),
    WORKFLOW.replace("acme", "acme/../evil"),
    WORKFLOW.replace("release.yml", "release.yml.yml"),
    WORKFLOW.replace("release", "other"),
    WORKFLOW.replace("v1.0.0", "v1.0.01"),
    WORKFLOW.replace("refs/tags/v1.0.0", "refs/heads/main"),
    WORKFLOW.replace("https", "http"),
    WORKFLOW.replace("github.com", "github.com.evil.example"),
    WORKFLOW.upper(),
    f"{WORKFLOW}?x=1",
    f"{WORKFLOW}#",
    f"{WORKFLOW}\n",
    f"{WORKFLOW}\0",
    f" {WORKFLOW}",
    f"{WORKFLOW} ",
    f"https://evil.example/?{WORKFLOW}",
    WORKFLOW[:-1],
    REPOSITORY,
    f"{REPOSITORY}/",
    "https://github.com/acme",
]
EXACT = Identity.exactly(WORKFLOW, GITHUB)
PATTERN = Identity(
    Matching(r"https://github\.com/acme/app/\.github/workflows/release\.yml@refs/tags/v1\.0\.\d"),
    Exactly(GITHUB),
)


@pytest.mark.parametrize("near", NEAR_MISSES)
@pytest.mark.parametrize("identity", [EXACT, PATTERN], ids=["exact", "pattern"])
def test_identity_regex_a_near_miss_is_a_miss(identity: Identity, near: str) -> None:
    right = SubjectName(NameKind.URI, WORKFLOW)
    assert identity.chosen((right,)) == right
    assert identity.chosen((SubjectName(NameKind.URI, near),)) is None


@pytest.mark.parametrize("near", NEAR_MISSES[:10])
def test_a_near_miss_is_refused(deployment: Deployment, near: str) -> None:
    login = uri(near).but(issuer=GITHUB)
    for identity in (EXACT, PATTERN):
        with refused(Reason.IDENTITY_MISMATCH):
            signed(deployment, login, identity).check()


@given(st.text(max_size=20), st.text(max_size=20))
def test_identity_regex_a_pattern_matches_the_whole_text(before: str, after: str) -> None:
    accepts = Matching("signer@example[.]com").accepts
    assert accepts(f"{before}signer@example.com{after}") is (before == after == "")


def test_issuer_required_it_has_to_be_the_one(deployment: Deployment) -> None:
    right = Identity.exactly(WHO, ISSUER)
    signed(deployment, email(WHO), right).check()
    signed(deployment, email(WHO), Identity(Exactly(WHO), Matching(r"https://.+\.com"))).check()
    for issuer in ("https://evil.example", f"{ISSUER}/", ISSUER[:-1], ISSUER.upper()):
        with refused(Reason.ISSUER_MISMATCH, issuer):
            signed(deployment, email(WHO).but(issuer=issuer), right).check()
    with refused(Reason.ISSUER_MISMATCH, "nobody vouches"):
        signed(deployment, email(WHO).but(issuer=""), right).check()
    with refused(Reason.ISSUER_MISMATCH):
        signed(deployment, email(WHO), Identity(Exactly(WHO), Matching("login"))).check()


def test_the_issuer_may_stand_in_the_old_place_alone(deployment: Deployment) -> None:
    login = email(WHO).but(issuer="", old_issuer=ISSUER)
    signed(deployment, login, Identity.exactly(WHO, ISSUER)).check()


def test_two_issuers_are_none(deployment: Deployment) -> None:
    login = email(WHO).but(old_issuer="https://evil.example")
    with refused(Reason.MALFORMED, "two issuers"):
        signed(deployment, login, Identity.exactly(WHO, ISSUER)).check()


@pytest.mark.parametrize("extension", Extension, ids=lambda each: each.label)
def test_every_claim_is_checked(deployment: Deployment, extension: Extension) -> None:
    login = email(WHO).but(claims=((extension.value, "right"),))
    for rule, fits in ((Exactly("right"), True), (Matching("r.+t"), True), (Exactly("no"), False)):
        identity = Identity(Exactly(WHO), Exactly(ISSUER), ((extension, rule),))
        if fits:
            signed(deployment, login, identity).check()
        else:
            with refused(Reason.CLAIM_MISMATCH, extension.label):
                signed(deployment, login, identity).check()
    identity = Identity(Exactly(WHO), Exactly(ISSUER), ((extension, Matching(".+")),))
    with refused(Reason.CLAIM_MISMATCH, "None"):
        signed(deployment, email(WHO), identity).check()


def test_every_claim_has_its_number() -> None:
    assert [each.value for each in Extension] == [2, 3, 4, 5, 6, *range(9, 23)]
    assert Extension.SOURCE_REPOSITORY_URI.oid == "1.3.6.1.4.1.57264.1.12"
    assert Extension.SOURCE_REPOSITORY_URI.label == "source-repository-uri"


@pytest.mark.parametrize(("name", "issuer"), [("", ISSUER), (WHO, ""), ("", "")])
def test_issuer_required_an_identity_is_a_name_and_an_issuer(name: str, issuer: str) -> None:
    with pytest.raises(InputError, match="together with its issuer"):
        Identity.exactly(name, issuer)
    if not name:
        with pytest.raises(InputError, match="an empty text"):
            Subject(Exactly(name))


@pytest.mark.parametrize("pattern", ["", ".*", "(a|)", "a?", "|b", "^$"])
def test_a_pattern_that_matches_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="would match a name that is empty"):
        Matching(pattern)


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "[", "(?P<x>a)(?P<x>b)", "*"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="not a regular expression"):
        Matching(pattern)


def test_rules_are_shown() -> None:
    assert (str(Exactly("a")), str(Matching("a.b"))) == ("'a'", "/a.b/")
    assert str(SubjectName(NameKind.EMAIL, WHO)) == WHO


# --- reading certificates -------------------------------------------------------------------------


def certificate(deployment: Deployment, login: Login) -> bytes:
    found = deployment.log_in(login).certificate
    assert found is not None
    return der_of(found)


def extended(number: int, value: bytes) -> Login:
    oid = x509.ObjectIdentifier(f"{FULCIO}.{number}")
    return email(WHO).but(extra=((x509.UnrecognizedExtension(oid, value), False),))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x0c",
        b"\x0c\x01",
        b"\x0c\x02a",
        b"\x0c\x01ab",
        b"\x0c\x81\x01a",
        b"\x0c\x82\x00\x01a",
        b"\x0c\x80a\0\0",
        b"\x0c\x83\0\0\x01a",
        b"\x13\x01a",
        b"\x0c\x01\xff",
    ],
)
def test_a_claim_that_is_no_text_is_refused(deployment: Deployment, value: bytes) -> None:
    with pytest.raises(Malformed):
        Certificate.parse(certificate(deployment, extended(12, value)))


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 3000])
def test_a_claim_may_be_long(deployment: Deployment, length: int) -> None:
    found = Certificate.parse(certificate(deployment, extended(12, der.utf8("a" * length))))
    assert dict(found.claims)[Extension.SOURCE_REPOSITORY_URI] == "a" * length


def test_an_old_claim_is_bare_text(deployment: Deployment) -> None:
    found = Certificate.parse(certificate(deployment, extended(3, b"abc")))
    assert found.claims == ((Extension.WORKFLOW_SHA, "abc"),)
    with pytest.raises(Malformed, match="UTF-8"):
        Certificate.parse(certificate(deployment, extended(3, b"\xff")))


def test_a_username_has_to_be_text(deployment: Deployment) -> None:
    login = Login(x509.OtherName(USERNAME, der.integer(5)))
    with pytest.raises(Malformed, match="UTF8String"):
        Certificate.parse(certificate(deployment, login))
    other = Login(x509.OtherName(x509.ObjectIdentifier("1.2.3"), der.integer(5)))
    assert Certificate.parse(certificate(deployment, other)).names == ()


def test_a_certificate_has_bounds() -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        Certificate.parse(b"x" * (limits.CERTIFICATE_SIZE + 1))


def test_what_the_library_warns_of_is_refused_in_silence(deployment: Deployment) -> None:
    """A negative serial number, which makes it write to standard error, and read on."""
    whole = bytearray(certificate(deployment, email(WHO)))
    serial = whole.index(b"\xa0\x03\x02\x01\x02") + 5
    assert whole[serial] == 2
    whole[serial + 2] |= 0x80
    code = (
        "import sys; from imgverify.signature.certificate import Certificate\n"
        f"Certificate.parse(bytes.fromhex('{whole.hex()}'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (
        done.stderr.splitlines()[-1]
        == "imgverify.errors.Malformed: the bytes are not a certificate"
    )


def test_what_is_no_certificate_is_refused(deployment: Deployment) -> None:
    whole = certificate(deployment, email(WHO))
    for wrong in (
        b"",
        b"x",
        whole[:-1],
        whole + b"\0",
    ):
        with pytest.raises(Malformed, match="not a certificate"):
            Certificate.parse(wrong)


SLOW = [
    *(
        "(a+)+b",
        "(a*)*b",
        "(?:a+)*b",
        "(?P<n>a+)+b",
        "((a+)b)+c",
        "(a|aa)+b",
        "(.+){9}b",
        "(.+){2,10}b",
    ),
    *(
        "([a-z]+/)+x",
        "(a{2,})*b",
        "(x(a|b)y)+z",
        r"(\w+\.?)+@example\.com",
        "([)]+)+b",
        "(a+)+?b",
        "((?>a+)b+)+c",
        "(?x)a#)))\n(b+)+",
    ),
]
QUICK = [
    *(".+", "a+b+", "(a|b)c", "(ab)+", "(a+)?b", "(a|b)?c", "[a-z+]+", r"\(a+\)+", "[(]a+[)]+"),
    *(
        r"https://github\.com/(acme|beta)/.+",
        "(?>a+)+b",
        "a{2}b{3,4}",
        "[]+)]+",
        r"(\+)+",
        "(?i:A)+",
    ),
]


@pytest.mark.parametrize("pattern", SLOW)
def test_policy_regex_dos_a_pattern_that_could_try_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="repeats what itself repeats"):
        Matching(pattern)


@pytest.mark.parametrize("pattern", QUICK)
def test_a_pattern_that_repeats_plain_things_is_taken(pattern: str) -> None:
    assert Matching(pattern).pattern == pattern


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@given(st.text(alphabet="ab()[]*+|\\\\{1,}?:>x# \\n", max_size=24))
def test_any_pattern_is_taken_or_refused(pattern: str) -> None:
    for text in (pattern, f"(?x){pattern}"):
        with suppress(InputError):
            assert not Matching(text).accepts("")


def test_policy_regex_dos_nothing_very_long_is_matched() -> None:
    assert Matching("a+").accepts("a" * limits.MATCHED_LENGTH)
    assert not Matching("a+").accepts("a" * (limits.MATCHED_LENGTH + 1))
    Matching("a" * limits.MATCHED_LENGTH)
    with pytest.raises(InputError, match="1025 characters; 1024 are the most"):
        Matching("a" * (limits.MATCHED_LENGTH + 1))
