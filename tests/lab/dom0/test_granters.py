"""The three kinds of granters: references with the expected page contents."""

import subprocess
import time

import pytest
from patience import patient
from pv_only import pv_only

from xengt.bench.granters import create_granter
from xengt.errors import FailedError, UnmetError
from xengt.sharing.references import Reference, pattern
from xengt.xen.grant_table import FIRST_GREF
from xenlib_cffi.gnttab import GrantMapper


def first_and_last_word(reference: Reference) -> tuple[int, int]:
    """Return the first and last 8 bytes of a page, mapped through gntdev."""
    with GrantMapper() as mapper, mapper.map([(reference.domid, reference.gref)]) as pages:
        page = pages.page(0)
        return int.from_bytes(page[0:8], "little"), int.from_bytes(page[4088:4096], "little")


@pytest.mark.parametrize(
    ("spec", "domains"),
    [("empty", 1), ("empty", 3), pytest.param("self", 1, marks=pv_only), ("guest", 1)],
)
def test_pages_contain_the_pattern_of_their_reference(spec, domains):
    with create_granter(spec, domains) as source:
        references = source.references(30)
        assert len(references) == len(set(references)) == 30
        assert len({reference.domid for reference in references}) == domains
        for reference in (references[0], references[13], references[-1]):
            assert reference.pattern == pattern(reference.domid, reference.gref)
            assert first_and_last_word(reference) == (reference.pattern, reference.pattern)


def test_empty_domains_are_destroyed(ctrl):
    free = ctrl.physinfo().free_pages
    with create_granter("empty", 4) as source:
        domids = {reference.domid for reference in source.references(4000)}
        assert len(domids) == 4
        assert ctrl.physinfo().free_pages <= free - 4000
    assert not domids & {domain.domid for domain in ctrl.domains()}
    deadline = time.monotonic() + patient(300)
    while ctrl.physinfo().free_pages < free and time.monotonic() < deadline:
        time.sleep(0.1)  # freed pages are scrubbed first
    assert ctrl.physinfo().free_pages >= free


def test_an_empty_domain_that_is_still_mapped_is_reported(ctrl, call, monkeypatch):
    monkeypatch.setattr("xengt.recovery.domain_destruction.DESTROY_TIMEOUT_S", 1.0)
    with pytest.raises(FailedError, match="still mapped"), create_granter("empty", 1) as source:
        (reference,) = source.references(1)
        held = call.map_device([(reference.domid, reference.gref)])
    assert ctrl.domain(reference.domid).dying
    call.unmap_device(held)
    deadline = time.monotonic() + patient(300)
    while ctrl.domain(reference.domid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ctrl.domain(reference.domid) is None


def test_references_start_after_those_of_the_toolstack():
    with create_granter("empty", 1) as source:
        assert source.references(1)[0].gref == FIRST_GREF == 8


def test_too_many_references_are_refused_without_leaks(ctrl):
    pages = ctrl.physinfo().free_pages + 1000
    before = {domain.domid for domain in ctrl.domains()}
    with pytest.raises(UnmetError, match=f"{pages} pages"), create_granter("empty", 1) as source:
        source.references(pages)
    assert {domain.domid for domain in ctrl.domains()} == before


def test_more_references_than_a_guest_publishes():
    with create_granter("guest", 1) as source, pytest.raises(UnmetError, match="256"):
        source.references(257)


def test_a_guest_by_name_and_by_domid():
    with create_granter("guest:guest", 1) as source:
        domid = source.references(1)[0].domid
    with create_granter(f"guest:{domid}", 1) as source:
        assert source.references(1)[0].domid == domid


@pytest.mark.parametrize("spec", ["guest:nobody", "guest:4242", "guest:Domain-0"])
def test_an_unknown_guest(spec):
    with pytest.raises(UnmetError, match=spec.partition(":")[2]), create_granter(spec, 1):
        pass


def test_more_pages_than_gntalloc_permits():
    limit = int(open("/sys/module/xen_gntalloc/parameters/limit").read())
    with create_granter("self", 1) as source, pytest.raises(UnmetError, match=str(limit)):
        source.references(limit + 1)


def test_share_publishes_and_revokes(call):
    share = subprocess.Popen(
        ["xengt", "share", "--to", "0", "--pages", "40"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert "40 references" in share.stdout.readline()
        with create_granter("guest:0", 1) as source:
            reference = source.references(40)[39]
            assert reference.domid == 0
            assert first_and_last_word(reference) == (reference.pattern, reference.pattern)
    finally:
        share.terminate()
        share.wait(30)
    with pytest.raises(UnmetError), create_granter("guest:0", 1):
        pass
    with pytest.raises(Exception, match=f"reference {reference.gref} of domain 0"):
        call.map_device([(0, reference.gref)])
