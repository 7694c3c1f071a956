"""What the host tells: every domain's figures, patched and stock."""

from tests.unit.serving import told
from tests.unit.usage_stand_ins import failed, xen

__all__ = ["told", "xen"]  # fixtures


def test_every_figure_of_a_domain_is_told(told):
    found = told()
    zero, seven = ("domid", "0"), ("domid", "7")
    assert found["xengt_grant_frames", seven] == 2
    assert found["xengt_grant_frames_limit", zero] == 64
    assert found["xengt_maptrack_frames", zero] == 2
    assert found["xengt_maptrack_frames_limit", zero] == 1024
    assert found["xengt_mappings", zero, ("record", "fast")] == 30
    assert found["xengt_mappings", zero, ("record", "slow")] == 4
    assert found["xengt_mappings_made_total", zero, ("record", "fast")] == 4_000_000_000_000
    assert found["xengt_mappings_made_total", seven, ("record", "slow")] == 501
    assert found["xengt_domain_info", zero, ("dying", "no"), ("name", "Domain-0")] == 1
    assert found["xengt_domain_info", seven, ("dying", "no"), ("name", 'w"e\\b')] == 1
    build = (("build_id", "00ff"), ("maptrack", "fast"), ("version", "4.20.3"))
    assert found["xengt_hypervisor_info", *build] == 1
    assert found["xengt_domains",] == 2
    assert found["xengt_host_read_failures_total",] == 0
    assert not [key for key in found if key[0] == "xengt_unavailable"]


def test_a_domain_that_goes_takes_its_series_along(told, xen):
    assert any(("domid", "7") in key for key in told())
    xen.lose(7)
    assert not any(("domid", "7") in key for key in told())


def test_on_stock_it_says_what_is_not_told(told, xen):
    xen.tables = None
    found = told()
    assert found["xengt_grant_frames", ("domid", "0")] == 1
    assert not [key for key in found if key[0] in {"xengt_mappings", "xengt_maptrack_frames"}]
    missing = {dict(key[1:])["figure"] for key in found if key[0] == "xengt_unavailable"}
    assert missing == {"maptrack_frames", "max_maptrack_frames"} | {
        f"{record}_{what}" for record in ("fast", "slow") for what in ("live", "maps")
    }


def test_more_domains_than_wanted_are_counted(told):
    found = told(1)
    assert (found["xengt_domains",], found["xengt_domains_left_out",]) == (2, 1)
    assert not any(("domid", "7") in key for key in found)


def test_a_host_that_does_not_answer_is_told(told, xen):
    def refuse(_what):
        raise failed("xc_domain_getinfolist", "domains", 13)

    xen.before = refuse
    assert told()["xengt_host_read_failures_total",] == 1
