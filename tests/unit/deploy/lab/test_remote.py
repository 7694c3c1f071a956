"""The ssh connection of a lab, with a shell script in place of ssh."""

from types import SimpleNamespace

import pytest
from lablib import remote
from lablib.errors import LabError


@pytest.fixture
def lab(monkeypatch, tmp_path):
    """A lab whose ssh runs `lab.script`; `lab.attempts()` returns how often it did."""
    counter = tmp_path / "attempts"
    made = SimpleNamespace(
        script="exit 0",
        console=tmp_path / "console",
        alive=lambda: True,
        attempts=lambda: len(counter.read_text()),
    )

    def ssh(_record):
        return ["sh", "-c", f"printf x >> {counter}; n=$(wc -c < {counter}); {made.script}"]

    monkeypatch.setattr(remote, "ssh", ssh)
    monkeypatch.setattr(remote, "POLL", 0)
    return made


def test_a_failed_login_is_repeated(lab):
    lab.script = "[ $n -ge 3 ] || exit 255"
    remote.connect(lab)
    assert lab.attempts() == 3


def test_a_machine_that_has_ended_is_not_waited_for(lab):
    lab.script, lab.alive = "exit 255", lambda: False
    with pytest.raises(LabError, match="dom0 does not accept an ssh connection"):
        remote.connect(lab)
    assert lab.attempts() == 1


def test_waiting_for_a_login_ends(lab, monkeypatch):
    monkeypatch.setattr(remote, "CONNECT_TIMEOUT", 0)
    lab.script = "exit 255"
    with pytest.raises(LabError, match="dom0 does not accept an ssh connection") as failure:
        remote.connect(lab)
    assert str(lab.console) in failure.value.remedy
