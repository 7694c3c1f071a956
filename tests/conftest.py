"""What the tests can be asked for: here, as those of one directory may run without another's."""

from pathlib import Path


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="what takes long as well")
    parser.addoption("--up", action="store_true", help="use the labs of these tests that are up")
    parser.addoption("--lab-prefix", default="", help="goes before the names of the labs")
    parser.addoption("--patched-xen", type=Path, help="boot this image where the tests say patched")
