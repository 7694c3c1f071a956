"""What the tests of several directories can be asked for."""


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="what takes long as well")
