"""What engines need: devices, and a kind of dom0."""

import errno

import pytest

from tests.unit import stand_in
from xengt.bench import engines
from xengt.errors import UnmetError
from xengt.xen import kernel, preflight


class Answering(stand_in.Handle):
    def xen_version(self):
        return 4, 20


@pytest.fixture
def dom0(monkeypatch):
    """A function that makes this a dom0 of a kind; `missing` has the devices that it lacks."""

    def make(kind, *, sees_frames=True):
        monkeypatch.setattr(kernel, "dom0_kind", lambda: kind)
        monkeypatch.setattr(kernel, "sees_page_frames", lambda: sees_frames)

    def open_error(path):
        return OSError(errno.ENOENT, "No such file or directory") if path.name in missing else None

    missing = make.missing = set()
    monkeypatch.setattr(kernel, "is_control_domain", lambda: True)
    monkeypatch.setattr(preflight, "Call", Answering)
    monkeypatch.setattr(preflight, "open_error", open_error)
    return make


@pytest.mark.parametrize(
    ("engine", "device", "module"),
    [
        ("gntdev", "gntdev", "xen-gntdev"),
        ("gntdev-copy", "gntdev", "xen-gntdev"),
        ("persistent", "gntdev", "xen-gntdev"),
        ("copy", "gntalloc", "xen-gntalloc"),
    ],
)
def test_an_engine_needs_its_device(dom0, engine, device, module):
    dom0("PV")
    engines.require_dom0([engine])
    dom0.missing.add(device)
    with pytest.raises(UnmetError, match=f"/dev/xen/{device} cannot be opened") as error:
        engines.require_dom0([engine])
    assert error.value.remedy == f"load the driver: modprobe {module}"
    engines.require_dom0(["hypercall", "foreign"])


def test_a_pvh_dom0_makes_no_device_maps(dom0):
    dom0("PVH")
    with pytest.raises(UnmetError, match="rejects the device maps of the hypercall engine"):
        engines.require_dom0(["hypercall"])
    engines.require_dom0(["gntdev", "foreign", "copy"])


def test_own_frames_of_a_pvh_dom0_can_be_hidden(dom0):
    dom0("PVH", sees_frames=False)
    with pytest.raises(UnmetError, match="Linux hides from this process the frames") as error:
        engines.require_dom0(["copy"])
    assert "CAP_SYS_ADMIN" in error.value.remedy
    dom0("PV", sees_frames=False)
    engines.require_dom0(["copy"])
