"""What holds for every test run."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.support import components

# A machine that is busy with other things is no defect of what is tested.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def pytest_configure() -> None:
    """Refuse to run without the real components where nothing may be left out."""
    _hear_signals()
    absent = components.missing(components.names())
    if absent and components.nothing_may_be_left_out(os.environ):
        message = f"missing components: {', '.join(absent)}; next: make peers"
        raise pytest.UsageError(message)


# Here and not with the system tests: the process that writes the summary may collect nothing.
@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what could not be run, and how to add it."""
    absent = ", ".join(components.missing(components.names()))
    if absent:
        line = f"left out: system tests that need {absent}; add: make peers"
        terminalreporter.write_line(line, yellow=True)


def _hear_signals() -> None:
    """Undo what starting in the background does: some tests press Ctrl-C themselves."""
    ways = {signal.SIGINT: signal.default_int_handler}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, ways.get(number, signal.SIG_DFL))
