"""What the tests can be asked for: here, as those of one directory may run without another's."""

import signal
from pathlib import Path

import pytest

#: marker, and the option that runs what has it → the command that gives it
LEFT_OUT = {"long": "./tests/run long", "series": "./tests/run series"}


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="what takes long as well")
    parser.addoption(
        "--series", action="store_true", help="boot every step of the series, and build one anew"
    )
    parser.addoption("--up", action="store_true", help="use the labs of these tests that are up")
    parser.addoption("--lab-prefix", default="", help="goes before the names of the labs")
    parser.addoption("--patched-xen", type=Path, help="boot this image where the tests say patched")


def pytest_configure():
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
