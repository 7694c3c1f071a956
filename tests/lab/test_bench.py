"""`xengt bench` on a real Xen: its options and its JSON document."""

import json
import re
from itertools import pairwise

import jsonschema
import pytest

from tests.lab.lab_dom0 import leftovers
from xengt.bench.schema import bench_schema
from xenlib_cffi.histogram import Histogram

SCHEMA = bench_schema()


def test_every_engine_and_granter_in_one_plan(dom0):
    document = dom0.bench(
        *("--engine", "hypercall,gntdev", "--granter", "empty,self,guest"),
        *("--batch", "1", "--batch", "32", "--samples", "200"),
    )
    jsonschema.validate(document, SCHEMA)
    results = document["results"]
    assert len(results) == 2 * 3 * 2 * 2
    for result in results:
        latency = result["latency_ns"]
        ordered = [latency[key] for key in ("min", "p50", "p90", "p99", "p99_9", "max")]
        assert all(low <= high for low, high in pairwise(ordered))
        assert latency["min"] <= latency["mean"] <= latency["max"]
        assert result["samples"] == 200
        assert result["floor_ns"] > 0
        calls = Histogram.decode(result["histogram"])
        assert calls.count == 200
        assert calls.percentile(50) / result["batch"] == pytest.approx(latency["p50"], rel=0.01)
    assert {r["operation"] for r in results if r["engine"] == "gntdev"} == {
        "map",
        "unmap (asynchronous)",
    }
    host = document["host"]
    assert (host["dom0"], host["dom0_vcpus"], host["emulated"]) == ("PV", 2, True)
    assert (host["xen_debug"], host["iommu"]) == (False, "none")
    assert leftovers(dom0) == ""


def test_copies_and_touches_of_every_engine(dom0):
    document = dom0.bench(
        *("--engine", "copy,gntdev-copy,persistent,gntdev,foreign", "--granter", "empty,guest"),
        *("--touch", "none,read,write,copy", "--bytes", "64,1500,4096", "--batch", "1,32"),
        *("--threads", "1,2", "--samples", "50"),
        timeout=900,
    )
    jsonschema.validate(document, SCHEMA)
    results = document["results"]
    copies, touches, plain = 3 * 3 * 2, 2 * 3 * 3 * 3, 2 * 2
    assert len(results) == 2 * 2 * 2 * (copies + touches + plain)
    for result in results:
        assert result["floor_ns"] > 0
        assert result["samples"] == 50
        assert (result["touch"] == "none") or result["engine"] in {"gntdev", "foreign"}
    operations = {(r["engine"], r["operation"]) for r in results if r["touch"] == "copy"}
    assert operations == {
        *(("gntdev", name) for name in ("map", "touch", "unmap (asynchronous)")),
        *(("foreign", name) for name in ("map", "touch", "unmap")),
    }
    assert leftovers(dom0) == ""


def test_own_pages_can_be_copied(dom0):
    engines = ("--engine", "copy,gntdev-copy,persistent", "--granter", "self")
    assert len(dom0.bench(*engines, "--samples", "50")["results"]) == 3 * 2 * 2
    assert leftovers(dom0) == ""


def test_a_larger_batch_costs_less_per_operation(dom0):
    results = dom0.bench("--batch", "1,64", "--samples", "1000")["results"]
    by_batch = {(r["operation"], r["batch"]): r["latency_ns"]["p50"] for r in results}
    assert by_batch["map", 64] < by_batch["map", 1] / 2
    assert by_batch["unmap", 64] < by_batch["unmap", 1] / 2


def test_threads_mappings_readonly_and_hold(dom0):
    document = dom0.bench(
        *("--engine", "hypercall,gntdev", "--threads", "1,2", "--mappings", "1,3"),
        *("--readonly", "no,yes", "--hold", "0,500", "--batch", "16", "--samples", "100"),
    )
    assert len(document["results"]) == 2 * 2 * 2 * 2 * 2 * 2
    assert document["plan"]["hold"] == [0, 500]
    assert leftovers(dom0) == ""


def test_several_granters(dom0):
    (a, b) = dom0.bench("--granters", "8", "--references", "100", "--batch", "25")["results"]
    assert (a["granters"], a["references"]) == (8, 100)
    assert b["operation"] == "unmap"


def test_the_rate_is_reached(dom0):
    (result, _) = dom0.bench("--rate", "200", "--duration", "2", "--batch", "4")["results"]
    assert result["samples"] == pytest.approx(400, abs=40)
    assert result["throughput_per_s"] == pytest.approx(800, rel=0.15)


def test_the_largest_batch(dom0):
    (result, _) = dom0.bench("--batch", "512", "--samples", "50")["results"]
    assert result["references"] == 512


def test_ten_thousand_rounds_with_64_granters_leak_nothing(dom0):
    free = "xl info free_memory"
    before = int(dom0.check_output(free))
    (result, _) = dom0.bench(
        *("--granters", "64", "--references", "32", "--batch", "32", "--samples", "10000"),
        timeout=600,
    )["results"]
    assert result["samples"] == 10_000
    assert leftovers(dom0) == ""
    assert int(dom0.check_output(free)) >= before


def test_table_json_and_html(dom0):
    run = dom0.run(
        "xengt", "bench", "--samples", "100", "--json=/tmp/run.json", "--html", "/tmp/run.html"
    )
    assert run.returncode == 0, run.stderr
    assert re.search(r"\bmap +1 ", run.stdout)
    assert "setup 1 of 2: hypercall · granter empty · batch 1" in run.stderr
    assert "<svg" in dom0.check_output("cat", "/tmp/run.html")
    again = dom0.run("xengt", "compare", "/tmp/run.json", "--", "/tmp/run.json")
    assert again.returncode == 0, again.stderr


def test_check_reports_no_missing_prerequisite(dom0):
    checks = json.loads(dom0.check_output("xengt", "check", "--json"))["checks"]
    states = {check["name"]: check["state"] for check in checks}
    assert "missing" not in states.values(), states
    assert "warning" in states.values()  # at least the one about the emulated CPU
