"""Why Xen rejects a reference: the state of the granter, and of dom0's maptrack."""

from types import SimpleNamespace

import pytest

from tests.unit import stand_in
from xengt.sharing import refusal
from xengt.xen import command_line, limits
from xenlib_cffi.errors import GrantError, GrantStatus


@pytest.fixture
def granter(monkeypatch):
    """The granter, domain 7, with a grant table of one frame; tests change its attributes."""
    made = SimpleNamespace(version=1)

    class Ctrl(stand_in.Handle, SimpleNamespace):
        pass

    ctrl = Ctrl(
        domains=lambda: iter([SimpleNamespace(domid=7, dying=False)]),
        grant_size=lambda _domid: (1, 64),
        grant_version=lambda _domid: made.version,
        version=lambda: SimpleNamespace(commandline="gnttab_max_maptrack_frames=16"),
    )
    monkeypatch.setattr(refusal, "Ctrl", lambda: ctrl)
    monkeypatch.setattr(limits, "Ctrl", lambda: ctrl)
    monkeypatch.setattr(command_line, "Ctrl", lambda: ctrl)
    return made


def explained(gref, status=GrantStatus.BAD_GNTREF):
    error = GrantError("GNTTABOP_map_grant_ref", 7, gref, "bad reference", status)
    return refusal.explain_refusal(error)


@pytest.mark.parametrize(("version", "last"), [(1, 511), (2, 255)])
def test_a_table_of_each_version_has_its_number_of_references(granter, version, last):
    granter.version = version
    beyond = explained(last + 1).what
    assert f"version {version} and 1 frames, for references up to {last}" in beyond
    assert "references up to" not in explained(last).what


@pytest.mark.usefixtures("granter")
def test_a_full_maptrack_has_the_limit_that_dom0_was_created_with(monkeypatch):
    monkeypatch.setattr(limits, "HypFs", stand_in.Limits("1"))
    assert "it may hold 4096 mappings" in explained(8, GrantStatus.NO_SPACE).remedy
