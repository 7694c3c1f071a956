"""What the Debian package brings besides the program: that it does not drift from it."""

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
#: a key that is left out, as it stands in serve.toml
LEFT_OUT = re.compile(r"^#(?=\w+ = )", re.MULTILINE)


def options(found: config.Config) -> dict[str, dict[str, object]]:
    """Every table's keys and values, as they are loaded."""
    tables = {each.name: getattr(found, each.name) for each in fields(found)}
    return {
        name: {each.name: getattr(table, each.name) for each in fields(table)}
        for name, table in tables.items()
    }


def test_the_configuration_that_is_installed_is_what_holds_without_one():
    assert config.load(DEBIAN / "serve.toml") == config.Config()


def test_it_shows_every_key_with_its_default(tmp_path):
    shown = LEFT_OUT.sub("", (DEBIAN / "serve.toml").read_text())
    for name in re.findall(r'"/etc/xengt/(.+)"', shown):
        (tmp_path / name).write_text("")
    file = tmp_path / "serve.toml"
    file.write_text(shown.replace("/etc/xengt/", f"{tmp_path}/"))
    found, without = options(config.load(file)), options(config.Config())
    written = tomllib.loads(shown)
    for table, keys in without.items():
        assert list(written[table]) == list(keys), f"[{table}] of deploy/debian/serve.toml"
        for key, value in keys.items():
            if value is None:  # there is no default to show: an example
                assert found[table][key]
            else:
                assert found[table][key] == value, f"{table}.{key}"


@pytest.mark.parametrize(("name", "text"), manpages.pages().items())
def test_the_man_pages_are_what_the_program_says(name, text):
    assert (DEBIAN / name).read_text() == text, "run deploy/debian/manpages.py"
    assert f"debian/{name}" in (DEBIAN / "xengt.manpages").read_text().split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_unit_is_as_hard_as_it_was():
    unit = DEBIAN / "xengt.service"
    # Its threshold is in tenths: what is above it is an exit code.
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold", "20"]
    done = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("name", manpages.pages())
def test_the_man_pages_are_good_roff(name):
    command = ["groff", "-ww", "-man", "-Kutf8", "-Tutf8", DEBIAN / name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "SEE ALSO" in re.sub(r"\x1b\[\d*m|.\x08", "", done.stdout)


def test_the_package_has_the_version_of_the_program():
    newest = (DEBIAN / "changelog").read_text().partition("\n")[0]
    assert newest.startswith(f"xengt ({__version__}) ")
