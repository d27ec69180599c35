"""What holds for every test run."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.support import components

# A machine that is busy with other things is no defect of what is tested.
# In CI every run tries the same examples: what is new is for those who are there to see it.
settings.register_profile(
    "patient",
    settings(),
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
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
    """Say in one line what was not run, and how to add it."""
    absent = ", ".join(components.missing(components.names()))
    left_out = [f"system tests that need {absent} (add: make peers)"] if absent else []
    if terminalreporter.config.option.markexpr == "not slow":
        left_out.append("slow tests (add: make test ARGS=-nauto)")
    if left_out:
        terminalreporter.write_line(f"left out: {', '.join(left_out)}", yellow=True)


def _hear_signals() -> None:
    """Undo what starting in the background does: some tests press Ctrl-C themselves."""
    ways = {signal.SIGINT: signal.default_int_handler}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, ways.get(number, signal.SIG_DFL))
