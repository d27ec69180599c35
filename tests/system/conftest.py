"""Leaves out the tests whose real components are missing; `tests/conftest.py` says so.

A test says what it needs: ``@pytest.mark.system("olareg")``. Without names it needs everything.
"""

import os
from collections.abc import Generator, Iterator

import pytest

from tests.support import components
from tests.support.sharing import common_folder, shared
from tests.support.signed import Stage, running_stage_text


@pytest.fixture(scope="session")
def signed_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Images signed by the real cosign, made once for all processes of a test run."""
    folder = common_folder(tmp_path_factory) / "signed"
    with shared(folder, running_stage_text) as text:
        yield Stage.load(text)


def _lacks_something(item: pytest.Item) -> bool:
    marks = list(item.iter_markers("system"))
    if any(not mark.args for mark in marks):
        return bool(components.missing(components.names()))
    return bool(components.missing(name for mark in marks for name in mark.args))


# Last, so that tests which -m or -k already took away ask for nothing.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run here."""
    left_out = [item for item in items if _lacks_something(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where nothing may be left out: a test may skip itself too."""
    report = yield
    strict = components.nothing_may_be_left_out(os.environ)
    if report.skipped and not hasattr(report, "wasxfail") and strict:
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be left out ({call.when}): {item.nodeid}"
    return report
