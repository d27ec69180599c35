"""Time: whose word it is, and what has to have been valid then."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import datetime, timedelta
from typing import Any

import pytest

from imgverify.errors import InputError, Reason
from imgverify.oci import limits
from imgverify.signature.demand import Demand
from imgverify.signature.trusted import Thresholds, TrustedKey, TrustedRoot, Window
from imgverify.trust.trustedroot import parse_trusted_roots
from imgverify.verdict import Clock
from tests.support.authorities import NOW, SECOND, SIGNED, YEAR, Issuer, TimestampAuthority, email
from tests.support.signer import RECIPES, WHO, Deployment, Specimen
from tests.support.translog import compact, text
from tests.unit.signature.grafting import ENTRY, STAMP
from tests.unit.signature.refusal import refused

IMAGE = b'{"schemaVersion":2}'
HOUR = 3600 * SECOND


def stamped(specimen: Specimen, deployment: Deployment, *times: datetime) -> Specimen:
    """Return a bundle with timestamps of these times instead of its own."""
    document = specimen.copy()
    content = document.get("messageSignature") or document["dsseEnvelope"]["signatures"][0]
    value = content.get("signature") or content["sig"]
    stamps = [deployment.tsa.stamp(b64decode(value), each) for each in times]
    material = document["verificationMaterial"]
    material["timestampVerificationData"] = {
        "rfc3161Timestamps": [{"signedTimestamp": text(each)} for each in stamps]
    }
    return specimen.having(document)


def windowed(
    deployment: Deployment, place: str, start: datetime, end: datetime | None, **others: object
) -> tuple[TrustedRoot, ...]:
    """Return the deployment's root with another window for what `place` names."""
    document = deployment.trusted_root()
    for each in document[place]:
        holder = each.get("publicKey", each)
        holder["validFor"] = {"start": start.isoformat()}
        if end is not None:
            holder["validFor"]["end"] = end.isoformat()
    return parse_trusted_roots(compact(document | others), "the test's root")


@pytest.mark.parametrize("name", ["keyless, Rekor v1", "keyless, Rekor v2"])
@pytest.mark.parametrize("place", ["tlogs", "ctlogs", "certificateAuthorities"])
def test_a_window_has_both_its_ends(deployment: Deployment, name: str, place: str) -> None:
    specimen = deployment.make(name, IMAGE)
    time = SIGNED - 60 * SECOND if place == "ctlogs" else SIGNED
    reason = Reason.AUTHORITY_TIME if place == "certificateAuthorities" else Reason.LOG_TIME
    for start, end in ((time, None), (time - HOUR, time), (time, time)):
        specimen.asking(roots=windowed(deployment, place, start, end)).check()
    for start, end in ((time + SECOND, None), (time - HOUR, time - SECOND)):
        with refused(reason, time.isoformat()):
            specimen.asking(roots=windowed(deployment, place, start, end)).check()


def test_a_timestamp_authority_s_window_has_both_its_ends(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    place = "timestampAuthorities"
    specimen.asking(roots=windowed(deployment, place, SIGNED, SIGNED)).check()
    with refused(Reason.TIMESTAMP_TIME):
        specimen.asking(roots=windowed(deployment, place, SIGNED + SECOND, None)).check()


@pytest.mark.parametrize("offset", [-60, 0, 540])
def test_a_certificate_is_valid_from_its_first_to_its_last_second(
    deployment: Deployment, offset: int
) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    stamped(specimen, deployment, SIGNED + offset * SECOND).check()


@pytest.mark.parametrize("offset", [-61, 541])
def test_a_certificate_is_not_valid_before_and_after(deployment: Deployment, offset: int) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    with refused(Reason.CERTIFICATE_TIME):
        stamped(specimen, deployment, SIGNED + offset * SECOND).check()


def test_time_authenticated_a_certificate_has_to_be_valid_at_every_time(
    deployment: Deployment,
) -> None:
    """One back-dated timestamp does not help where the log tells another time."""
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    late = Deployment(authority=deployment.authority, ct_log=deployment.ct_log, tsa=deployment.tsa)
    assert stamped(specimen, deployment, SIGNED).check().evidence.time == SIGNED
    with refused(Reason.CERTIFICATE_TIME):
        stamped(specimen, deployment, SIGNED, SIGNED + HOUR).check()
    document = specimen.copy()
    body = document["verificationMaterial"]["tlogEntries"][0]
    body["inclusionPromise"]["signedEntryTimestamp"] = text(
        late.rekor.promise(b"other", int(SIGNED.timestamp()), 1)
    )
    with refused(Reason.PROMISE_INVALID):
        stamped(specimen.having(document), deployment, SIGNED).check()


def test_the_earliest_time_is_the_one_that_is_told(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    evidence = stamped(specimen, deployment, SIGNED - 5 * SECOND).check().evidence
    assert (evidence.time, evidence.clock) == (SIGNED - 5 * SECOND, Clock.TIMESTAMP_AUTHORITY)
    evidence = stamped(specimen, deployment, SIGNED + 5 * SECOND).check().evidence
    assert (evidence.time, evidence.clock) == (SIGNED, Clock.LOG)


@pytest.mark.parametrize("name", ["keyless, Rekor v1", "keyless, Rekor v2", "key, Rekor v1"])
def test_time_authenticated_a_time_to_come_is_no_time(deployment: Deployment, name: str) -> None:
    specimen = deployment.make(name, IMAGE)
    skew = timedelta(seconds=limits.CLOCK_SKEW)
    specimen.check(now=SIGNED - skew)
    with refused(Reason.TIME_FUTURE):
        specimen.check(now=SIGNED - skew - SECOND)
    with refused(Reason.TIME_FUTURE):
        specimen.check(now=SIGNED - HOUR)


def test_time_authenticated_a_time_that_is_not_signed_is_no_time(deployment: Deployment) -> None:
    """Without a promise the integrated time is only somebody's number."""
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    document = specimen.copy()
    del document["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]
    with refused(Reason.TIME_MISSING):
        specimen.having(document).check()
    evidence = stamped(specimen.having(document), deployment, SIGNED).check().evidence
    assert evidence.clock is Clock.TIMESTAMP_AUTHORITY


def test_rekor_v2_tells_no_time(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    document = specimen.copy()
    del document["verificationMaterial"]["timestampVerificationData"]
    document["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = str(
        int(SIGNED.timestamp())
    )
    with refused(Reason.TIME_MISSING):
        specimen.having(document).check()


def test_a_log_that_tells_no_time_is_trusted_for_the_times_of_others(
    deployment: Deployment,
) -> None:
    keyed = deployment.make("key, Rekor v2", IMAGE)
    ended = windowed(deployment, "tlogs", SIGNED - YEAR, SIGNED + SECOND)
    keyed.asking(roots=ended).check()
    document = keyed.copy()
    del document["verificationMaterial"]["timestampVerificationData"]
    keyed.having(document).check()
    # Nobody tells a time, so that only the present is left.
    with refused(Reason.LOG_TIME, NOW.isoformat()):
        keyed.having(document).asking(roots=ended).check()


@pytest.mark.parametrize("name", ["key, Rekor v1", "key alone"])
def test_key_cert_validity_a_key_counts_in_its_window(deployment: Deployment, name: str) -> None:
    specimen = deployment.make(name, IMAGE)
    key = specimen.demand.signer
    assert isinstance(key, TrustedKey)
    time = SIGNED if RECIPES[name].entry else NOW
    for window in (Window(time, time), Window(None, time), Window(time, None)):
        specimen.asking(signer=TrustedKey(key.key, window)).check()
    for window in (Window(None, time - SECOND), Window(time + SECOND, None)):
        with refused(Reason.KEY_TIME, time.isoformat()):
            specimen.asking(signer=TrustedKey(key.key, window)).check()


def test_key_cert_validity_an_issuer_that_expires_first_ends_it_all() -> None:
    """The leaf is still valid, the certificate above it is not."""
    root = Issuer.root("root")
    short = root.issuer("short", until=SIGNED - SECOND)
    for authority in (short, Issuer.root("short root", until=SIGNED - SECOND).issuer("below")):
        deployment = Deployment(authority=authority)
        for name in ("keyless, Rekor v1", "keyless, Rekor v2", "cosign, keyless"):
            with refused(Reason.AUTHORITY_TIME):
                deployment.make(name, IMAGE).check()


def test_where_nobody_tells_the_time_it_is_now(deployment: Deployment) -> None:
    """A deployment with an authority alone: what it issued has to be valid still."""
    document = deployment.trusted_root()
    for each in ("tlogs", "ctlogs", "timestampAuthorities"):
        del document[each]
    roots = parse_trusted_roots(compact(document), "bare")
    login = email(WHO).but(period=(SIGNED - HOUR, NOW))
    name = "keyless, timestamp only"
    signer = deployment.log_in(login, sct=False)
    specimen = deployment.make(name, IMAGE, signer).asking(roots=roots)
    evidence = specimen.check(now=NOW).evidence
    assert (evidence.time, evidence.clock) == (None, None)
    assert "this machine's clock" in evidence.verified_with
    with refused(Reason.CERTIFICATE_TIME):
        specimen.check(now=NOW + SECOND)


def test_where_timestamps_are_needed_a_strange_one_is_none(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, timestamp only", IMAGE)
    other = Deployment(
        authority=deployment.authority,
        tsa=TimestampAuthority.below(Issuer.root("elsewhere")),
    )
    with refused(Reason.TIMESTAMP_UNTRUSTED):
        specimen.asking(roots=other.roots(specimen.recipe)).check()
    document = specimen.copy()
    del document["verificationMaterial"]["timestampVerificationData"]
    with refused(Reason.TIME_MISSING):
        specimen.having(document).check()


# --- how many -------------------------------------------------------------------------------------


def test_threshold_distinct_two_timestamps_of_one_authority_are_one(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    twice = stamped(specimen, deployment, SIGNED, SIGNED + SECOND)
    twice.asking(at_least=Thresholds(timestamps=1)).check()
    with refused(Reason.TIME_MISSING):
        twice.asking(at_least=Thresholds(timestamps=2)).check()


def test_threshold_distinct_one_authority_under_two_names_is_one(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    document = deployment.trusted_root()
    document["timestampAuthorities"] *= 2
    document["timestampAuthorities"][1] = {**document["timestampAuthorities"][0], "uri": "other"}
    roots = parse_trusted_roots(compact(document), "twice the same")
    twice = stamped(specimen, deployment, SIGNED, SIGNED + SECOND)
    with refused(Reason.TIME_MISSING):
        twice.asking(roots=roots, at_least=Thresholds(timestamps=2)).check()


def test_threshold_distinct_two_entries_in_one_log_are_one(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    document = specimen.copy()
    entries = document["verificationMaterial"]["tlogEntries"]
    entries.append(deployment.rekor.add(json.loads(b64decode(entries[0]["canonicalizedBody"]))))
    twice = specimen.having(document)
    twice.check()
    with refused(Reason.LOG_MISSING):
        twice.asking(at_least=Thresholds(logs=2)).check()


def test_the_same_thing_twice_is_refused(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v2", IMAGE)
    for path in (ENTRY[:-1], STAMP[:-2]):
        document = specimen.copy()
        value: Any = document
        for step in path:
            value = value[step]
        value *= 2
        with refused(Reason.DUPLICATE):
            specimen.having(document).check()


def test_two_promises_of_one_certificate_log_are_one(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    with refused(Reason.SCT_MISSING):
        specimen.asking(at_least=Thresholds(scts=2)).check()


def test_nobody_can_be_asked_for_fewer_than_none() -> None:
    with pytest.raises(InputError, match="fewer than none"):
        Thresholds(logs=-1)


def test_a_demand_needs_somebody_to_believe(deployment: Deployment) -> None:
    specimen = deployment.make("keyless, Rekor v1", IMAGE)
    with pytest.raises(InputError, match="nobody would be believed"):
        Demand(specimen.demand.signer, ())
    with pytest.raises(InputError, match="has an authority for certificates"):
        Demand(specimen.demand.signer, (TrustedRoot("empty"),))
