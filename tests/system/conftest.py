"""Leaves out the tests whose real components are missing; in CI nothing may be left out.

A test says what it needs: ``@pytest.mark.system("olareg")``. Without names it needs everything.
"""

import os
from collections.abc import Generator

import pytest

from tests.support import components

LEFT_OUT = pytest.StashKey[str]()


def _nothing_may_be_left_out() -> bool:
    return "true" in (os.environ.get("CI"), os.environ.get("IMGVERIFY_REQUIRE_PEERS"))


def _missing_for(item: pytest.Item) -> list[str]:
    marks = list(item.iter_markers("system"))
    if any(not mark.args for mark in marks):
        return components.missing(components.names())
    return components.missing(name for mark in marks for name in mark.args)


# Last, so that tests which -m or -k already took away ask for nothing.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run here, or refuse to run at all."""
    lacking = {item: _missing_for(item) for item in items}
    left_out = [item for item in items if lacking[item]]
    if not left_out:
        return
    absent = ", ".join(
        name for name in components.names() if any(name in m for m in lacking.values())
    )
    if _nothing_may_be_left_out():
        message = f"missing components: {absent}; next: make peers"
        raise pytest.UsageError(message)
    config.stash[LEFT_OUT] = f"left out {len(left_out)} system tests: no {absent}; add: make peers"
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not lacking[item]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where nothing may be left out: a test may skip itself too."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _nothing_may_be_left_out():
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be left out ({call.when}): {item.nodeid}"
    return report


# Last, so that the line stands next to the counts.
@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say in one line what was left out."""
    if LEFT_OUT in config.stash:
        terminalreporter.write_line(config.stash[LEFT_OUT], yellow=True)
