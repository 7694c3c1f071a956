"""What the tests can be asked for: here, as those of one directory may run without another's."""

import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine and nothing about the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

#: marker, and the option that runs what has it → the command that gives it
LEFT_OUT = {"long": "./tests/run long", "series": "./tests/run series"}


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="what takes long as well")
    parser.addoption(
        "--series", action="store_true", help="boot every step of the series, and build one anew"
    )
    parser.addoption(
        "--labs",
        choices=["timed", "exact"],
        help="of tests/lab, what needs labs with this clock; exact has what is marked untimed too",
    )
    parser.addoption("--took", type=Path, help="append each test and its seconds to a file")
    parser.addoption("--up", action="store_true", help="use the labs of these tests that are up")
    parser.addoption("--lab-prefix", default="", help="goes before the names of the labs")
    parser.addoption("--patched-xen", type=Path, help="boot this image where the tests say patched")


def pytest_configure(config):
    if file := config.getoption("--took"):
        config.pluginmanager.register(Took(file))
    # A shell ignores SIGINT for what it starts in the background, nohup ignores SIGHUP, and all
    # children inherit that: they would never see the signals that tests send them. A handler, even
    # one that does nothing, is reset to the default when a child starts a program.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(trylast=True)  # after a directory's own, which may mark more
def pytest_collection_modifyitems(config, items):
    for marker, command in LEFT_OUT.items():
        if config.getoption(f"--{marker}"):
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"marked {marker}: {command}"))


class Took:
    """Notes how long each test takes, its fixtures included.

    Args:
        file: gets a line for each test: seconds and the test's name. Two runs may share it.
    """

    def __init__(self, file: Path):
        self.file = file
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self):
        with self.file.open("a") as file:
            file.writelines(f"{took:8.1f} s  {test}\n" for test, took in self.seconds.items())
