"""Shell completion: the scripts that the Debian package installs, and what they ask xengt."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tests.patience import patient
from xengt.cli import app

DEBIAN = Path(__file__).parents[3] / "deploy" / "debian"
#: shell → file of its script, as debian/rules generates it
SCRIPTS = dict(
    re.findall(r"debian/completion.py (\w+) > debian/(\S+)", (DEBIAN / "rules").read_text())
)


def xengt(**environment):
    return subprocess.run(
        [sys.executable, "-m", "xengt"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def test_the_package_installs_the_script_of_every_shell():
    assert set(SCRIPTS) == {"bash", "zsh", "fish"}
    installed = [line.split() for line in (DEBIAN / "xengt.install").read_text().splitlines()]
    assert {f"debian/{script}" for script in SCRIPTS.values()} < {source for source, _ in installed}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed_and_is_valid(tmp_path, shell):
    done = xengt(_XENGT_COMPLETE=f"source_{shell}")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_XENGT_COMPLETE=complete_{shell}" in done.stdout
    words = [sys.executable, DEBIAN / "completion.py", shell]
    packaged = subprocess.check_output(words, text=True)
    assert packaged.startswith(done.stdout.strip())
    assert packaged.startswith("#compdef xengt\n") == (shell == "zsh")
    if shutil.which(shell):
        (tmp_path / "script").write_text(packaged)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_bash_completes_commands_and_options():
    script = xengt(_XENGT_COMPLETE="source_bash").stdout

    def completed(*words):
        line = f"""{script}
xengt() {{ {sys.executable} -m xengt "$@"; }}
env() {{ /usr/bin/env "${{@:1:$#-1}}" {sys.executable} -m xengt; }}
COMP_WORDS=({" ".join(words)} '') COMP_CWORD={len(words) - 1}
_xengt_completion xengt
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        return subprocess.check_output(["bash", "-c", line], text=True).split()

    assert set(completed("xengt", "s")) == {"scaling", "schema", "serve", "share"}
    options = {name for each in get_command(app).commands["plan"].params for name in each.opts}
    assert options <= set(completed("xengt", "plan", "--"))


def test_a_deprecated_option_is_not_reported_while_a_line_is_completed():
    done = xengt(
        _XENGT_COMPLETE="complete_bash", COMP_WORDS="xengt compare --json a.json --", COMP_CWORD="4"
    )
    assert "--at-most" in done.stdout
    assert done.stderr == ""
