"""From what a mirror answered to what it does, topic by topic; nothing is asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imgverify.doctor.check import Topic, unasked
from imgverify.doctor.checks.content import check_range, check_referrers
from imgverify.doctor.checks.manifests import (
    check_accept,
    check_by_digest,
    check_head,
    check_namespace,
)
from imgverify.doctor.checks.server import (
    check_api,
    check_login,
    check_rate_limit,
    check_redirects,
)
from imgverify.doctor.observation import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgverify.doctor.check import Check
    from imgverify.doctor.observation import Observed, Upstream

_BY_ITSELF: Final[tuple[Callable[[Observed], Check], ...]] = (
    check_api,
    check_login,
    check_head,
    check_by_digest,
    check_accept,
)
_AFTER: Final[tuple[Callable[[Observed], Check], ...]] = (
    check_range,
    check_namespace,
    check_redirects,
    check_rate_limit,
)


def check_all(seen: Observed, upstream: Upstream | None) -> tuple[Check, ...]:
    """Judge every topic; `upstream` is the first image, None where none was named."""
    if isinstance(seen.greeting, Failure):
        others = (each for each in Topic if each is not Topic.API)
        return (check_api(seen), *(unasked(each, "nothing answered") for each in others))
    return (
        *(each(seen) for each in _BY_ITSELF),
        check_referrers(seen, upstream),
        *(each(seen) for each in _AFTER),
    )
