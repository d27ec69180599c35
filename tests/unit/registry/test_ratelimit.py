"""What registries say of their rate limits, and what is made of it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgverify.errors import RateLimited, Side, Unreachable
from imgverify.oci import limits
from imgverify.oci.reference import Registry
from imgverify.registry import deadline as deadline_module
from imgverify.registry import session as session_module
from imgverify.registry.client import Network
from imgverify.registry.credentials import CredentialStore
from imgverify.registry.deadline import Clock, Deadline
from imgverify.registry.failure import next_step
from imgverify.registry.ratelimit import (
    RateLimit,
    parse_rate_limit,
    parse_retry_after,
    span,
)
from tests.support.fault import MANIFESTS, When
from tests.support.faults import Header, Redirect, Status, rate_limited
from tests.support.registry import FakeRegistry
from tests.unit.registry.scene import call, named, network, plain, repository, session, stock

NOW = datetime(2026, 3, 20, 8, 30, tzinfo=UTC)
HUB = {
    "ratelimit-limit": "100;w=21600",
    "ratelimit-remaining": "98;w=21600",
    "docker-ratelimit-source": "203.0.113.7",
}


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield stock(running)


# --- headers ----------------------------------------------------------------------------------


def test_what_docker_hub_says_is_read() -> None:
    limit = parse_rate_limit(HUB)
    assert limit == RateLimit(98, 100, 21600, "203.0.113.7")
    assert str(limit) == "98 of 100 pulls left in 6 h"


@pytest.mark.parametrize(
    ("remaining", "most", "limit"),
    [
        ("98", "100", RateLimit(98, 100)),
        ("98;w=60", "100", RateLimit(98, 100, 60)),
        ("98", "100;w=60", RateLimit(98, 100, 60)),
        ("98;w=60", "100;w=61", RateLimit(98, 100)),
        ("0;w=0", "0;w=0", RateLimit(0, 0, 0)),
        ("98;w=60", "many", RateLimit(98, None, 60)),
        ("98;w=60", "", RateLimit(98, None, 60)),
        ("999999999", "999999999", RateLimit(999999999, 999999999)),
        ("101", "100", None),
        ("", "100", None),
        ("-1", "100", None),
        ("+1", "100", None),
        ("1.5", "100", None),
        ("1 ", "100", None),
        ("1;w=", "100", None),
        ("1;w=5;x", "100", None),
        ("1, 2", "100", None),
        ("1;W=5", "100", None),
        ("1000000000", "", None),
        ("٣", "100", None),
        ("1\n", "100", None),
    ],
)
def test_what_is_not_plainly_said_is_unknown(
    remaining: str, most: str, limit: RateLimit | None
) -> None:
    assert parse_rate_limit({"ratelimit-remaining": remaining, "ratelimit-limit": most}) == limit


@pytest.mark.parametrize("source", ["", "a b", "\x1b[2J", "x" * 65, "é", "1.2.3.4\r\nX: y"])
def test_a_source_that_could_do_harm_is_unknown(source: str) -> None:
    limit = parse_rate_limit(HUB | {"docker-ratelimit-source": source})
    assert limit is not None
    assert limit.source == ""


@given(st.dictionaries(st.sampled_from([*HUB, "Retry-After", "Date"]), st.text(max_size=30)))
def test_any_headers_are_read_or_left(headers: dict[str, str]) -> None:
    limit, wait = parse_rate_limit(headers), parse_retry_after(headers)
    said = f"{limit} {limit and limit.name} {next_step(limit, wait, Clock(NOW, time.monotonic()))}"
    assert said.isascii()
    assert said.isprintable()
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("said", "date", "wait"),
    [
        ("7", None, 7.0),
        ("0", None, 0.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", "Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", None, None),
        ("Wed, 99 Oct 99999999999999999999 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("soon", None, None),
        ("-1", None, None),
        ("1.5", None, None),
        ("٣", None, None),
        ("", None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(
    said: str, date: str | None, wait: float | None
) -> None:
    headers = {"Retry-After": said} | ({"Date": date} if date else {})
    assert parse_retry_after(headers) == wait


def test_a_wait_of_many_digits_is_a_long_one() -> None:
    wait = parse_retry_after({"Retry-After": "9" * 5000})
    assert wait is not None
    assert wait > limits.RETRY_AFTER_SAID


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "90 s"),
        (3600, "1 h"),
        (21600.0, "6 h"),
        (86400, "1 d"),
        (90000, "25 h"),
    ],
)
def test_a_length_of_time_is_said_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("limit", "text", "name"),
    [
        (RateLimit(98, 100, 21600, "a"), "98 of 100 pulls left in 6 h", "100 pulls in 6 h for a"),
        (RateLimit(98, 100), "98 of 100 pulls left", "100 pulls"),
        (RateLimit(98), "98 pulls left", "pulls"),
        (RateLimit(0, 0, 0), "0 of 0 pulls left", "0 pulls"),
    ],
)
def test_a_limit_is_said_as_far_as_it_is_known(limit: RateLimit, text: str, name: str) -> None:
    assert (str(limit), limit.name) == (text, name)


SPENT = RateLimit(0, 100, 21600, "203.0.113.7")
PULLS = "the rate limit (100 pulls in 6 h for 203.0.113.7)"


@pytest.mark.parametrize(
    ("limit", "wait", "timed", "otherwise"),
    [
        (None, None, "the rate limit is used up: try again later", None),
        (
            None,
            90.0,
            "the rate limit is used up: try again after 2026-03-20 08:31:31 UTC",
            "the rate limit is used up: try again in 90 s",
        ),
        (
            SPENT,
            60.0,
            f"{PULLS} is used up: try again after 2026-03-20 08:31:01 UTC",
            f"{PULLS} is used up: try again in 1 min",
        ),
        (
            SPENT,
            None,
            f"{PULLS} is used up: it is renewed by 2026-03-20 14:30:01 UTC",
            f"{PULLS} is used up: it is renewed in 6 h",
        ),
        # Another limit than that of pulls was hit.
        (
            RateLimit(98, 100, 21600),
            1.0,
            "the rate limit is used up: try again after 2026-03-20 08:30:02 UTC",
            "the rate limit is used up: try again in 1 s",
        ),
        (RateLimit(98, 100, 21600), None, "the rate limit is used up: try again later", None),
        (None, 1e18, "the rate limit is used up: try again later", None),
        (RateLimit(0, 9, 999999999), None, None, None),
    ],
)
def test_the_next_step_names_the_limit_and_the_time(
    monkeypatch: pytest.MonkeyPatch,
    *,
    limit: RateLimit | None,
    wait: float | None,
    timed: str | None,
    otherwise: str | None,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.5)
    later = timed or f"the rate limit ({limit and limit.name}) is used up: try again later"
    assert next_step(limit, wait, Clock(NOW, 1000.0)) == later
    assert next_step(limit, wait, None) == (otherwise or later)


def test_a_clock_of_another_zone_is_read_as_utc() -> None:
    zone = timezone(timedelta(hours=8))
    clock = Clock(datetime(2026, 3, 20, 16, 30, tzinfo=zone), time.monotonic() + 1000)
    assert clock.later(1000.0).startswith("2026-03-20 08:30:")


# --- by the network ---------------------------------------------------------------------------


def with_headers(fake: FakeRegistry, headers: dict[str, str]) -> None:
    fake.play(*(Header(name, value, when=MANIFESTS) for name, value in headers.items()))


def test_the_network_remembers_what_each_registry_said_last(fake: FakeRegistry) -> None:
    with FakeRegistry() as silent, network(fake.host, silent.host) as net:
        here = Registry.parse(fake.host)
        with_headers(fake, HUB)
        assert net.rate_limits == {}
        for each in (stock(silent), fake):
            net.at(named(each.host).repository, Side.MIRROR).resolve(named(each.host))
        assert net.rate_limits == {here: RateLimit(98, 100, 21600, "203.0.113.7")}
        with_headers(fake, HUB | {"ratelimit-remaining": "97;w=21600"})
        net.at(named(fake.host).repository, Side.MIRROR).manifest(named(fake.host))
        assert net.rate_limits[here].remaining == 97
        with_headers(fake, {"ratelimit-remaining": "nonsense"})
        net.at(named(fake.host).repository, Side.MIRROR).manifest(named(fake.host))
        assert net.rate_limits[here].remaining == 97


def test_what_the_target_of_a_redirect_says_is_not_the_registrys_word(fake: FakeRegistry) -> None:
    with FakeRegistry() as target, network(fake.host, target.host) as net:
        with_headers(stock(target), HUB)
        fake.play(Redirect(f"{target.url}{{path}}", when=MANIFESTS))
        net.at(named(fake.host).repository, Side.MIRROR).manifest(named(fake.host))
        assert net.rate_limits == {}


def test_a_limit_that_is_used_up_is_remembered_and_told_with_the_time(fake: FakeRegistry) -> None:
    headers = (*(HUB | {"ratelimit-remaining": "0;w=21600"}).items(), ("Retry-After", "3600"))
    fake.play(Status(429, headers))
    with Network(plain(fake.host), CredentialStore(), Deadline.after(5), now=NOW) as net:
        with pytest.raises(RateLimited) as caught:
            net.at(named(fake.host).repository, Side.UPSTREAM).resolve(named(fake.host))
        assert net.rate_limits[Registry.parse(fake.host)].remaining == 0
    assert fake.host in caught.value.message
    assert caught.value.side is Side.UPSTREAM
    expected = f"{PULLS} is used up: try again after 2026-03-20 09:30:0"
    assert caught.value.hint.startswith(expected)
    assert fake.count() == 1


# --- waiting ----------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of `Deadline.sleep`, which take no time here; the deadline stands still."""
    waited: list[float] = []

    def sleep(self: Deadline, seconds: float) -> bool:
        if seconds >= self.seconds:
            return False
        waited.append(seconds)
        return True

    monkeypatch.setattr(deadline_module.Deadline, "sleep", sleep)
    monkeypatch.setattr(session_module, "_BACKOFF", 0.001)
    return waited


@pytest.mark.parametrize("said", ["40", "Wed, 21 Oct 2015 07:28:40 GMT"], ids=["seconds", "date"])
def test_a_rate_limit_is_waited_for_longer_than_one_request_may_take(
    fake: FakeRegistry, waits: list[float], said: str
) -> None:
    headers = (("Retry-After", said), ("Date", "Wed, 21 Oct 2015 07:28:00 GMT"))
    fake.play(Status(429, headers, when=When(last=1)))
    with repository(fake, seconds=300) as remote:
        remote.manifest(named(fake.host))
    assert waits == [40.0]
    assert waits[0] > limits.REQUEST_TIMEOUT


@pytest.mark.parametrize(("seconds", "waited"), [(250.0, [200.0]), (200.0, []), (100.0, [])])
def test_a_rate_limit_is_not_waited_for_beyond_the_deadline(
    fake: FakeRegistry, waits: list[float], seconds: float, waited: list[float]
) -> None:
    fake.play(rate_limited("200", when=When(last=1)))
    with repository(fake, seconds=seconds) as remote:
        if waited:
            remote.manifest(named(fake.host))
        else:
            with pytest.raises(RateLimited, match="429") as caught:
                remote.manifest(named(fake.host))
            assert caught.value.hint == "the rate limit is used up: try again in 200 s"
    assert waits == waited


def test_a_rate_limit_is_never_waited_for_beyond_its_bound(
    fake: FakeRegistry, waits: list[float]
) -> None:
    fake.play(rate_limited(str(int(limits.RETRY_AFTER) + 1)))
    with repository(fake, seconds=100_000) as remote, pytest.raises(RateLimited):
        remote.manifest(named(fake.host))
    assert waits == []
    assert fake.count() == 1


def test_a_rate_limit_without_end_is_left_after_a_few_tries(
    fake: FakeRegistry, waits: list[float]
) -> None:
    fake.play(rate_limited("7"))
    with repository(fake, seconds=1000) as remote, pytest.raises(RateLimited):
        remote.manifest(named(fake.host))
    assert len(waits) == limits.RATE_LIMIT_RETRIES
    assert waits[0] == 7.0
    # Not to the moment: whoever else was refused waits as long.
    assert all(7.0 < each < 7.1 for each in waits[1:])


def test_after_a_wait_there_is_as_much_time_as_for_any_request(fake: FakeRegistry) -> None:
    fake.play(rate_limited("1", when=When(last=1)))
    with session(plain(fake.host)) as made:
        made.fetch(replace(call(fake), seconds=0.5), 1000)
    assert fake.count() == 2


def test_all_other_tries_share_the_time_of_one_request(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "_BACKOFF", 2.0)
    fake.play(Status(503, when=When(last=1)))
    with session(plain(fake.host)) as made, pytest.raises(Unreachable, match="503"):
        made.fetch(replace(call(fake), seconds=0.5), 1000)
    assert fake.count() == 1


@pytest.mark.parametrize(("said", "told"), [("4", []), ("5", ["5 s"]), ("120", ["2 min"])])
def test_a_long_wait_is_told_of(
    fake: FakeRegistry, waits: list[float], said: str, told: list[str]
) -> None:
    heard: list[str] = []
    fake.play(rate_limited(said, when=When(last=1)))
    settings = plain(fake.host)
    with Network(settings, CredentialStore(), Deadline.after(300), tell=heard.append) as net:
        net.at(named(fake.host).repository, Side.MIRROR).manifest(named(fake.host))
    sentence = f"{fake.host} limits the rate of requests: waiting"
    assert heard == [f"{sentence} {each}" for each in told]
    assert waits == [float(said)]


def test_a_wait_that_would_pass_the_deadline_is_not_told_of(fake: FakeRegistry) -> None:
    heard: list[str] = []
    fake.play(rate_limited("20"))
    made = Network(plain(fake.host), CredentialStore(), Deadline.after(5), tell=heard.append)
    with made as net, pytest.raises(RateLimited):
        net.at(named(fake.host).repository, Side.MIRROR).manifest(named(fake.host))
    assert heard == []
