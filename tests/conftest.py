"""Options and markers of all tests: declared here, because each directory can be run alone."""

import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The duration of an example depends on the machine rather than on the code under test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

#: marker → the command that runs the tests with it; the option --MARKER selects them too
OPT_IN_MARKERS = {"long": "./tests/run long", "series": "./tests/run series"}


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run the tests marked long")
    parser.addoption(
        "--series",
        action="store_true",
        help="also run the tests marked series: boot every step of the patch series",
    )
    parser.addoption(
        "--labs",
        choices=["timed", "exact"],
        help="run only the tests of tests/lab whose lab has this clock: timed (wall clock) or"
        " exact (instruction counter, and the tests marked untimed)",
    )
    parser.addoption(
        "--durations-file",
        type=Path,
        metavar="FILE",
        help="append the duration in seconds and the name of each test to FILE",
    )
    parser.addoption(
        "--failures-file",
        type=Path,
        metavar="FILE",
        help="append the name and the error of each failed test to FILE",
    )
    parser.addoption(
        "--up",
        action="store_true",
        help="use labs of these tests that are already running, and leave them running",
    )
    parser.addoption("--lab-prefix", default="", help="prefix of the names of the tests' labs")
    parser.addoption(
        "--patched-xen",
        type=Path,
        metavar="IMAGE",
        help="boot this image instead of building the patched hypervisor",
    )


def pytest_configure(config):
    if file := config.getoption("--durations-file"):
        config.pluginmanager.register(DurationLog(file))
    if file := config.getoption("--failures-file"):
        config.pluginmanager.register(FailureLog(file))
    # A shell ignores SIGINT for background jobs and nohup ignores SIGHUP. Child processes inherit
    # this and would ignore the signals that tests send them. A handler, even an empty one, is reset
    # to the default action when a child process executes a program.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(trylast=True)  # after the hook of tests/lab/conftest.py, which adds markers
def pytest_collection_modifyitems(config, items):
    for marker, command in OPT_IN_MARKERS.items():
        if config.getoption(f"--{marker}"):
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"marked {marker}: {command}"))


class DurationLog:
    """Records the duration of each test, including its fixtures.

    Args:
        file: one line per test is appended: seconds and node id. Two sessions may share it.
    """

    def __init__(self, file: Path):
        self.file = file
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self):
        with self.file.open("a") as file:
            file.writelines(
                f"{duration:8.1f} s  {test}\n" for test, duration in self.seconds.items()
            )


class FailureLog:
    """Records the error of each failed test at once, so that a killed session leaves it, too.

    Args:
        file: the node id and the last 60 lines of the error are appended. Two sessions may share
            it.
    """

    def __init__(self, file: Path):
        self.file = file

    def pytest_runtest_logreport(self, report):
        if report.failed:
            error = report.longreprtext.splitlines()[-60:]
            with self.file.open("a") as file:
                file.write("\n".join([f"{report.nodeid} ({report.when}):", *error, "", ""]))

    def pytest_collectreport(self, report):
        if report.failed:
            with self.file.open("a") as file:
                file.write(f"{report.nodeid}:\n{report.longreprtext}\n\n")
