"""Granter `empty` on a Xen that cannot have it."""

import errno

import pytest

from tests.unit import stand_in
from xengt.bench.granters import empty_domains
from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.errors import UnmetError
from xenlib_cffi.ctrl_results import PhysInfo
from xenlib_cffi.errors import XenLibraryError


class Ctrl(stand_in.Handle):
    """Xen built without CONFIG_PV."""

    def physinfo(self):
        return PhysInfo(4, 1, 1, 1 << 20, 1 << 19, 0, hvm=True, pv=False, directio=False)

    def create_empty(self, _uuid, _frames):
        raise XenLibraryError("xc_domain_create", "an empty domain with 1 grant frames", 22)

    def domains(self):
        return ()


def test_a_xen_without_pv_is_named_as_the_cause(monkeypatch):
    monkeypatch.setattr(empty_domains, "Ctrl", Ctrl)
    monkeypatch.setattr(empty_domains, "ForeignMemory", stand_in.Handle)
    with pytest.raises(UnmetError) as caught, EmptyDomains(1) as domains:
        domains.references(32)
    assert "without support for PV domains" in caught.value.what
    assert "--granter guest" in caught.value.remedy
    assert "gnttab_max_frames" not in caught.value.remedy


@pytest.mark.parametrize("rejected", ["physinfo", "domains"])
def test_a_xen_of_another_version_is_named_as_the_cause(monkeypatch, rejected):
    def reject(_self):
        raise XenLibraryError(f"xc_{rejected}", "the hypervisor", errno.EACCES)

    other = type("Other", (Ctrl,), {rejected: reject})
    monkeypatch.setattr(empty_domains, "Ctrl", other)
    monkeypatch.setattr(empty_domains, "ForeignMemory", stand_in.Handle)
    with pytest.raises(UnmetError) as caught, EmptyDomains(1) as domains:
        domains.references(32)
    assert "another version than the running Xen" in caught.value.what
    assert "--granter self" in caught.value.remedy
