"""From a signer's certificate to a trusted root: what has to be so on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from imgverify.errors import InputError, Reason
from imgverify.signature.chain import find_path
from imgverify.signature.demand import Demand
from imgverify.signature.identity import Exactly, Subject
from imgverify.signature.trusted import CertificateAuthority, Thresholds, Window
from imgverify.trust.trustedroot import parse_trusted_roots
from imgverify.verdict import Skipped
from tests.support.authorities import (
    SECOND,
    SIGNED,
    YEAR,
    CertificateLog,
    Issuer,
    Login,
    der_of,
    email,
    extensions_of,
    log_in,
    name,
    new_key,
    pem_of,
    sct_list,
    usage,
)
from tests.support.signer import WHO, Deployment, Signer, Specimen
from tests.support.translog import compact, text
from tests.unit.signature.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE = b'{"schemaVersion":2}'
FORMS = ["keyless, Rekor v1", "keyless, Rekor v2", "cosign, keyless"]


def made(deployment: Deployment, form: str, login: Login) -> Specimen:
    return deployment.make(form, IMAGE, deployment.log_in(login))


@pytest.mark.parametrize("form", FORMS)
def test_a_certificate_has_to_be_for_signing_code(deployment: Deployment, form: str) -> None:
    good = email(WHO)
    made(deployment, form, good).check()
    both = (ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION)
    made(deployment, form, good.but(purposes=both)).check()
    for purposes in ((), (ExtendedKeyUsageOID.SERVER_AUTH,)):
        with refused(Reason.CERTIFICATE_USAGE, "code signing"):
            made(deployment, form, good.but(purposes=purposes)).check()


def bent(deployment: Deployment, *extensions: tuple[x509.ExtensionType, bool]) -> Signer:
    """Return a signer whose certificate has just these extensions, the name and the login."""
    key, login = new_key(), email(WHO)
    kept = [each for each in extensions_of(login) if not isinstance(each[0], x509.KeyUsage)]
    certificate = deployment.authority.sign(key, login.period, [*kept, *extensions])
    return Signer(key, certificate, deployment.authority.chain)


def test_a_certificate_is_no_authority_s_and_its_key_is_for_signing(
    deployment: Deployment,
) -> None:
    form = "keyless, timestamp only"
    deployment.make(form, IMAGE, bent(deployment)).check()
    authority = (x509.BasicConstraints(ca=True, path_length=None), True)
    with refused(Reason.CERTIFICATE_USAGE, "an authority's"):
        deployment.make(form, IMAGE, bent(deployment, authority)).check()
    other = (usage(signs_data=False, signs_certificates=True), True)
    with refused(Reason.CERTIFICATE_USAGE, "digital signatures"):
        deployment.make(form, IMAGE, bent(deployment, other)).check()


def test_what_nobody_understands_and_is_critical_is_refused(deployment: Deployment) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    form = "keyless, timestamp only"
    deployment.make(form, IMAGE, bent(deployment, (strange, False))).check()
    with refused(Reason.CERTIFICATE_UNTRUSTED, "does not lead"):
        deployment.make(form, IMAGE, bent(deployment, (strange, True))).check()


def test_an_ordinary_certificate_issues_no_other(deployment: Deployment) -> None:
    """The holder of a genuine certificate tries to be an authority."""
    genuine = deployment.log_in(sct=False)
    assert genuine.certificate is not None
    pretender = Issuer(new_key(), genuine.certificate)
    pretender = replace(pretender, key=genuine.key)  # type: ignore[arg-type] # made by new_key()
    key = new_key()
    leaf = log_in(pretender, email(WHO), key, ())
    specimen = deployment.make("keyless, v0.2", IMAGE, Signer(key, leaf, (genuine.certificate,)))
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        specimen.check()


def test_an_issuer_s_key_is_for_issuing() -> None:
    root = Issuer.root("root")
    key = new_key()
    constraints = (x509.BasicConstraints(ca=True, path_length=None), True)
    for issues in (True, False):
        extensions = [constraints, (usage(signs_data=True, signs_certificates=issues), True)]
        period = SIGNED - YEAR, SIGNED + YEAR
        middle = root.sign(key, period, extensions, subject=name("middle"))
        deployment = Deployment(authority=Issuer(key, middle, root.chain))
        specimen = deployment.make("keyless, Rekor v1", IMAGE)
        if issues:
            specimen.check()
        else:
            with refused(Reason.CERTIFICATE_UNTRUSTED, "does not lead"):
                specimen.check()


def test_a_root_that_came_along_is_not_believed(deployment: Deployment) -> None:
    other = Deployment()
    signer = other.log_in(sct=False)
    layer = deployment.make("cosign, keyless, timestamp", IMAGE, signer)
    assert pem_of(*signer.above).decode() in layer.document["annotations"].values()
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        layer.check()
    bundle = deployment.make("keyless, v0.2", IMAGE, deployment.log_in())
    chain = bundle.document["verificationMaterial"]["x509CertificateChain"]["certificates"]
    chain.append({"rawBytes": text(der_of(deployment.authority.chain[-1]))})
    with refused(Reason.MALFORMED, "holds a root"):
        bundle.check()


def test_certificates_that_came_along_help_to_find_the_way() -> None:
    """The trusted root has the root alone; the intermediate comes with the signature."""
    deployment = Deployment()
    document = deployment.trusted_root()
    del document["certificateAuthorities"][0]["certChain"]["certificates"][0]
    roots = parse_trusted_roots(compact(document), "the root alone")
    for form in ("keyless, v0.2", "cosign, keyless"):
        deployment.make(form, IMAGE).asking(roots=roots).check()
    with refused(Reason.CERTIFICATE_UNTRUSTED):
        deployment.make("keyless, Rekor v1", IMAGE).asking(roots=roots).check()


def test_several_authorities_are_tried(deployment: Deployment) -> None:
    document = deployment.trusted_root()
    other = Deployment().trusted_root()
    document["certificateAuthorities"] = [
        *other["certificateAuthorities"],
        {**document["certificateAuthorities"][0], "validFor": {"start": "2026-05-01T00:00:00Z"}},
        *document["certificateAuthorities"],
    ]
    roots = parse_trusted_roots(compact(document), "several")
    deployment.make("keyless, Rekor v1", IMAGE).asking(roots=roots).check()


def test_a_path_has_to_be_valid_as_a_whole(deployment: Deployment) -> None:
    leaf = deployment.log_in().certificate
    assert leaf is not None
    authority = CertificateAuthority("a", deployment.authority.chain)
    path = find_path(leaf, authority, (), SIGNED)
    assert path == (leaf, *deployment.authority.chain)
    assert find_path(leaf, authority, (), SIGNED + 3600 * SECOND) is None
    assert find_path(leaf, replace(authority, window=Window(None, SIGNED)), (), SIGNED) == path
    assert find_path(leaf, replace(authority, chain=authority.chain[:1]), (), SIGNED) is not None
    with pytest.raises(InputError, match="has no certificate"):
        CertificateAuthority("nobody", ())


def test_edwards_keys_sign_and_do_not_issue(deployment: Deployment) -> None:
    """A signer's key may be Ed25519; of an authority's the path's library knows none."""
    key = ed25519.Ed25519PrivateKey.generate()
    certificate = log_in(deployment.authority, email(WHO), key, (deployment.ct_log,))
    signer = Signer(key, certificate, deployment.authority.chain)
    for form in ("keyless, Rekor v1", "keyless, Rekor v2, dsse"):
        deployment.make(form, IMAGE, signer).check()


# --- promises of certificate logs -----------------------------------------------------------------


def promised(deployment: Deployment, *scts: bytes) -> Specimen:
    """Return a bundle whose certificate has just these promises."""
    login, key = email(WHO), new_key()
    extensions = [*extensions_of(login), (sct_list(*scts), False)]
    certificate = deployment.authority.sign(key, login.period, extensions)
    return deployment.make("keyless, Rekor v1", IMAGE, Signer(key, certificate))


def test_a_certificate_log_has_to_have_promised_this_certificate(deployment: Deployment) -> None:
    issuer = deployment.authority.certificate
    with refused(Reason.SCT_MISSING):
        deployment.make("keyless, Rekor v1", IMAGE, deployment.log_in(sct=False)).check()
    # A promise for other bytes than this certificate's.
    other = deployment.ct_log.promise(b"another certificate", issuer, SIGNED)
    with refused(Reason.SCT_INVALID):
        promised(deployment, other).check()
    with refused(Reason.SCT_UNKNOWN):
        promised(deployment, CertificateLog().promise(b"x", issuer, SIGNED)).check()


def test_an_unknown_certificate_log_counts_for_nothing(deployment: Deployment) -> None:
    other = CertificateLog()
    key, logs = new_key(), (other, deployment.ct_log)
    certificate = log_in(deployment.authority, email(WHO), key, logs)
    specimen = deployment.make("keyless, Rekor v1", IMAGE, Signer(key, certificate))
    assert specimen.check().evidence.verified_with.count("certificate log https://ct.example") == 1
    with refused(Reason.SCT_UNKNOWN):
        specimen.asking(at_least=Thresholds(scts=2)).check()


def test_a_certificate_log_of_rsa_keys_is_a_log() -> None:
    key = rsa.generate_private_key(65537, 2048)
    deployment = Deployment(ct_log=CertificateLog(key))
    document = deployment.trusted_root()
    for details in ("PKIX_RSA_PKCS1V15_2048_SHA256", "PKCS1_RSA_PKCS1V5", "PKIX_RSA_PKCS1V5"):
        document["ctlogs"][0]["publicKey"]["keyDetails"] = details
        roots = parse_trusted_roots(compact(document), "rsa")
        deployment.make("keyless, Rekor v1", IMAGE).asking(roots=roots).check()
    document["ctlogs"][0]["publicKey"]["keyDetails"] = "PKIX_RSA_PKCS1V15_4096_SHA256"
    roots = parse_trusted_roots(compact(document), "another size")
    with refused(Reason.SCT_UNKNOWN):
        deployment.make("keyless, Rekor v1", IMAGE).asking(roots=roots).check()


def test_trust_material_one_check_can_be_left_out_and_that_is_said(deployment: Deployment) -> None:
    without = deployment.make("keyless, Rekor v1", IMAGE, deployment.log_in(sct=False))
    evidence = without.asking(insecure_skip=Skipped.SCT).check().evidence
    assert evidence.skipped == (Skipped.SCT,)
    keyed = deployment.make("key, Rekor v1", IMAGE)
    assert keyed.check().evidence.skipped == ()
    document = keyed.copy()
    document["verificationMaterial"]["tlogEntries"] = []
    with refused(Reason.LOG_MISSING):
        keyed.having(document).check()
    evidence = keyed.having(document).asking(insecure_skip=Skipped.LOG).check().evidence
    assert evidence.skipped == (Skipped.LOG,)
    # Left out is only that something is missing, not that it is wrong.
    document = keyed.copy()
    document["verificationMaterial"]["tlogEntries"][0]["logIndex"] = "7"
    with refused(Reason.PROMISE_INVALID):
        keyed.having(document).asking(insecure_skip=Skipped.LOG).check()


def test_without_the_log_a_certificate_has_to_be_valid_now(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    document = specimen.copy()
    document["verificationMaterial"]["tlogEntries"] = []
    bare = specimen.having(document).asking(insecure_skip=Skipped.LOG)
    assert bare.check(now=SIGNED).evidence.time is None
    with refused(Reason.CERTIFICATE_TIME):
        bare.check()


# --- certificates of one's own CA -----------------------------------------------------------------


def own(deployment: Deployment, sans: Sequence[x509.GeneralName]) -> Specimen:
    """Return a cosign signature by a certificate that names no login, under a bare root."""
    key = new_key()
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName(sans), False),
        (usage(signs_data=True, signs_certificates=False), False),
    ]
    period = SIGNED, SIGNED + 600 * SECOND
    certificate = deployment.authority.sign(key, period, extensions, subject=name("team"))
    signer = Signer(key, certificate, deployment.authority.chain)
    document = deployment.trusted_root()
    for each in ("tlogs", "ctlogs", "timestampAuthorities"):
        del document[each]
    roots = parse_trusted_roots(compact(document), "bare")
    specimen = deployment.make("cosign, keyless, timestamp", IMAGE, signer)
    demand = Demand(Subject(Exactly("team@example.com")), roots)
    return Specimen(specimen.name, IMAGE, specimen.document, demand, signer)


def test_a_certificate_of_one_s_own_ca_needs_no_login(deployment: Deployment) -> None:
    sans = [x509.DNSName("host.example.com"), x509.RFC822Name("team@example.com")]
    specimen = own(deployment, sans)
    evidence = specimen.check(now=SIGNED).evidence
    assert evidence.identity is not None
    assert (evidence.identity.name, evidence.identity.issuer) == ("team@example.com", "")
    host = specimen.asking(signer=Subject(Exactly("host.example.com")))
    assert host.check(now=SIGNED).evidence.identity is not None
    with refused(Reason.IDENTITY_MISMATCH, "host.example.com, team@example.com"):
        specimen.asking(signer=Subject(Exactly("other@example.com"))).check(now=SIGNED)


def test_a_login_is_not_passed_over_by_asking_for_none(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    with refused(Reason.ISSUER_MISMATCH, "no issuer is asked for"):
        specimen.asking(signer=Subject(Exactly(WHO))).check()


def test_a_certificate_without_a_name_is_nobody_s(deployment: Deployment) -> None:
    specimen = own(deployment, [x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))])
    with refused(Reason.IDENTITY_MISMATCH, "the signer is nobody"):
        specimen.check(now=SIGNED)
