"""The files of deploy/debian are consistent with the program."""

import re
import shutil
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from deploy.debian import manpages
from xengt import __version__
from xengt.serve import config

DEBIAN = Path(__file__).parents[3] / "deploy" / "debian"
#: A commented-out key in serve.toml.
COMMENTED_KEY = re.compile(r"^#(?=\w+ = )", re.MULTILINE)


def options(loaded: config.Config) -> dict[str, dict[str, object]]:
    """Return table → key → value of a configuration, except deprecated keys."""
    tables = {each.name: getattr(loaded, each.name) for each in fields(loaded)}
    return {
        name: {
            each.name: getattr(table, each.name)
            for each in fields(table)
            if name != "listen" or each.name not in config.DEPRECATED
        }
        for name, table in tables.items()
    }


def test_the_installed_configuration_equals_the_defaults():
    assert config.load(DEBIAN / "serve.toml") == config.Config()


def test_serve_toml_has_every_key_with_its_default(tmp_path):
    uncommented = COMMENTED_KEY.sub("", (DEBIAN / "serve.toml").read_text())
    for name in re.findall(r'"/etc/xengt/(.+)"', uncommented):
        (tmp_path / name).write_text("")
    file = tmp_path / "serve.toml"
    file.write_text(uncommented.replace("/etc/xengt/", f"{tmp_path}/"))
    values, defaults = options(config.load(file)), options(config.Config())
    written = tomllib.loads(uncommented)
    for table, keys in defaults.items():
        assert list(written[table]) == list(keys), f"[{table}] of deploy/debian/serve.toml"
        for key, value in keys.items():
            if value is None:  # no default: serve.toml has an example
                assert values[table][key]
            else:
                assert values[table][key] == value, f"{table}.{key}"


@pytest.mark.parametrize(("name", "text"), manpages.pages().items())
def test_the_man_pages_match_the_program(name, text):
    assert (DEBIAN / name).read_text() == text, "run deploy/debian/manpages.py"
    assert f"debian/{name}" in (DEBIAN / "xengt.manpages").read_text().split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_units_exposure_stays_below_the_threshold():
    unit = DEBIAN / "xengt.service"
    # The threshold is in tenths; a higher exposure exits non-zero.
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold", "20"]
    done = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("name", manpages.pages())
def test_groff_accepts_the_man_pages(name):
    command = ["groff", "-ww", "-man", "-Kutf8", "-Tutf8", DEBIAN / name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "SEE ALSO" in re.sub(r"\x1b\[\d*m|.\x08", "", done.stdout)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc here")
@pytest.mark.parametrize("name", manpages.pages())
def test_mandoc_finds_no_problem_in_the_man_pages(name):
    done = subprocess.run(
        ["mandoc", "-Tlint", DEBIAN / name], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


def test_the_changelog_has_the_version_of_the_program():
    newest = (DEBIAN / "changelog").read_text().partition("\n")[0]
    assert newest.startswith(f"xengt ({__version__}) ")
