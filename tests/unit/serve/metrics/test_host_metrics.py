"""Metrics of the host: every domain's figures, on patched and stock Xen."""

from tests.unit.agent_fixtures import FIGURES, host_samples
from tests.unit.exposition import samples_of
from tests.unit.fake_hypervisor import FakeCtrl, failed, xen
from xengt.recovery import domain_owner
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.usage import reading

__all__ = ["host_samples", "xen"]  # fixtures

OTHERS, OURS = ("own", "no"), ("own", "yes")


def test_every_figure_of_a_domain_has_a_series(host_samples):
    found = host_samples()
    zero, seven = ("domid", "0"), ("domid", "7")
    assert found["xengt_grant_frames", seven] == 2
    assert found["xengt_grant_frames_limit", zero] == 64
    assert found["xengt_maptrack_frames", zero] == 2
    assert found["xengt_maptrack_frames_limit", zero] == 1024
    assert found["xengt_mappings", zero, ("record", "fast")] == 30
    assert found["xengt_mappings", zero, ("record", "slow")] == 4
    assert found["xengt_mappings_made_total", zero, ("record", "fast")] == 4_000_000_000_000
    assert found["xengt_mappings_made_total", seven, ("record", "slow")] == 501
    assert found["xengt_tlb_flushes_total", zero] == 60
    assert found["xengt_skipped_tlb_flushes_total", seven] == 8
    assert found["xengt_domain_info", zero, ("dying", "no"), ("name", "Domain-0"), OTHERS] == 1
    assert found["xengt_domain_info", seven, ("dying", "no"), ("name", 'w"e\\b'), OTHERS] == 1
    build = (("build_id", "00ff"), ("maptrack", "fast"), ("version", "4.20.3"))
    assert found["xengt_hypervisor_info", *build] == 1
    assert found["xengt_domains",] == 2
    assert found["xengt_host_read_failures_total",] == 0
    assert not [key for key in found if key[0] == "xengt_unavailable"]


def test_only_domains_that_have_made_mappings_have_series_of_flushes(host_samples, xen):
    xen.have(7, *FIGURES[:5], 0, 0, 0, 0, 0)
    found = host_samples()
    assert found["xengt_mappings_made_total", ("domid", "7"), ("record", "fast")] == 0
    flushes = {key[1:] for key in found if "flushes" in key[0]}
    assert flushes == {(("domid", "0"),)}


def test_the_series_of_a_destroyed_domain_disappear(host_samples, xen):
    assert any(("domid", "7") in key for key in host_samples())
    xen.lose(7)
    assert not any(("domid", "7") in key for key in host_samples())


def test_domains_that_xengt_created_are_known_by_their_uuids_without_xenstore(host_samples, xen):
    xen.have(9, *FIGURES)
    xen.domains[9] = domain_owner.uuid()
    xen.have(10, *FIGURES)  # a guest whose name is unknown
    found = host_samples()
    assert found["xengt_domain_info", ("domid", "9"), ("dying", "no"), ("name", "xengt-9"), OURS]
    assert found["xengt_domain_info", ("domid", "10"), ("dying", "no"), ("name", ""), OTHERS]


def test_stock_xen_names_the_figures_that_it_does_not_report(host_samples, xen):
    xen.tables = None
    found = host_samples()
    assert found["xengt_grant_frames", ("domid", "0")] == 1
    assert not [key for key in found if key[0] in {"xengt_mappings", "xengt_maptrack_frames"}]
    missing = {dict(key[1:])["figure"] for key in found if key[0] == "xengt_unavailable"}
    others = {"maptrack_frames", "max_maptrack_frames", "tlb_flushes", "skipped_tlb_flushes"}
    assert missing == others | {
        f"{record}_{count}" for record in ("fast", "slow") for count in ("live", "maps")
    }


def test_domains_beyond_the_limit_are_counted(host_samples):
    found = host_samples(1)
    assert (found["xengt_domains",], found["xengt_domains_left_out",]) == (2, 1)
    assert not any(("domid", "7") in key for key in found)


def test_a_host_that_cannot_be_read_is_counted(host_samples, xen):
    def refuse(_query):
        raise failed("xc_domain_getinfolist", "domains", 13)

    xen.before = refuse
    assert host_samples()["xengt_host_read_failures_total",] == 1


def test_xen_stays_open_between_scrapes_and_is_opened_again_after_a_failure(xen, monkeypatch):
    opened = []
    monkeypatch.setattr(reading, "Ctrl", lambda: opened.append(1) or FakeCtrl(xen))
    xen.have(0, *FIGURES)
    source = HostMetrics(1000, str)
    for _ in range(3):
        assert samples_of(source)["xengt_host_read_failures_total",] == 0
    assert len(opened) == 1

    def refuse(_query):
        xen.before = lambda _query: None
        raise failed("xc_domain_getinfolist", "domains", 13)

    xen.before = refuse
    assert samples_of(source)["xengt_host_read_failures_total",] == 1
    assert samples_of(source)["xengt_domains",] == 1
    assert len(opened) == 2
