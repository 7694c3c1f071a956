"""A PVH or HVM domain is kept from mapping its own pages, as Xen would remove them."""

import pytest
from typer.testing import CliRunner

from xengt import cli
from xengt.bench import run
from xengt.bench.plan import BenchPlan, with_defaults
from xengt.errors import UnmetError
from xengt.sharing import mapping, own_pages
from xengt.sharing.references import Reference
from xengt.xen import kernel


@pytest.fixture
def domain(monkeypatch):
    """Makes this domain one of a kind: dom0, or a guest with a domid."""

    def make(kind, *, domid=0):
        monkeypatch.setattr(kernel, "dom0_kind", lambda _root=None: kind)
        monkeypatch.setattr(kernel, "is_control_domain", lambda: domid == 0)
        monkeypatch.setattr(own_pages, "own_domid", lambda _store: domid)

    return make


@pytest.mark.parametrize(
    ("kind", "domid", "granters"),
    [("PV", 0, [0]), ("PVH", 0, [7]), ("PVH", 5, [0]), (None, 0, [0])],
)
def test_mappings_that_xen_makes_as_expected_are_permitted(domain, kind, domid, granters):
    domain(kind, domid=domid)
    own_pages.require_other_domains(granters)


@pytest.mark.parametrize("kind", ["PVH", "HVM"])
@pytest.mark.parametrize("domid", [0, 5])
def test_own_pages_of_a_translated_domain_are_rejected(domain, kind, domid):
    domain(kind, domid=domid)
    with pytest.raises(UnmetError, match=f"domain {domid} must not map .* pages: it is {kind}"):
        own_pages.require_other_domains([7, domid])


def test_a_guest_without_xenstore_maps_what_it_is_asked_to_map(domain, monkeypatch):
    def refuse(_store):
        raise UnmetError("XenStore does not answer", "start xenstored")

    domain("PVH", domid=5)
    monkeypatch.setattr(own_pages, "own_domid", refuse)
    own_pages.require_other_domains([5])


def test_map_does_not_open_gntdev_for_own_pages(domain, monkeypatch):
    domain("PVH")
    monkeypatch.setattr(mapping, "GrantMapper", lambda: pytest.fail("gntdev was opened"))
    done = CliRunner().invoke(cli.app, ["map", "0", "8"])
    assert done.exit_code == 2
    assert "must not map its own pages" in done.stderr


def test_bench_maps_no_own_pages(domain, monkeypatch):
    domain("PVH")

    class Self:
        writable = True

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def references(self, count):
            return [Reference(0, gref, 0) for gref in range(8, 8 + count)]

    monkeypatch.setattr(run, "create_granter", lambda _spec, _domains: Self())
    monkeypatch.setattr(run, "create_engine", lambda *_, **__: pytest.fail("an engine was made"))
    plan = BenchPlan(with_defaults({"engine": ["gntdev"], "granter": ["self"]}), 10, None, 3)
    with pytest.raises(UnmetError, match="must not map its own pages"):
        list(run.run_plan(plan, None, lambda _: None))
