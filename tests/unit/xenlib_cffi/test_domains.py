"""Ctrl.domains: every domain is listed once, with no more calls than necessary."""

import pytest

from xenlib_cffi import ctrl
from xenlib_cffi.library import load


class FakeDomains:
    """Stands in for libxenctrl, with some domains that all have an even domid."""

    XEN_DOMINF_dying = XEN_DOMINF_shutdown = XEN_DOMINF_paused = XEN_DOMINF_hvm_guest = 0

    def __init__(self, count):
        self.domids = [2 * place for place in range(count)]
        self.calls = 0

    def xc_domain_getinfolist(self, _handle, first, most, info):
        self.calls += 1
        found = [domid for domid in self.domids if domid >= first][:most]
        for each, domid in zip(info, found, strict=False):
            each.domain = domid
        return len(found)


@pytest.mark.parametrize(
    ("count", "calls"), [(0, 1), (1, 1), (127, 1), (128, 2), (129, 2), (256, 3), (300, 3)]
)
def test_every_domain_is_listed_once(count, calls):
    """One call lists up to 128, and fewer are the last ones."""
    handle = object.__new__(ctrl.Ctrl)
    fake = FakeDomains(count)
    handle.ffi, handle.lib, handle.pointer = load()[0], fake, None
    assert [each.domid for each in handle.domains()] == fake.domids
    assert fake.calls == calls
