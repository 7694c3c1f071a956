"""The package's unit: it measures with all its hardening, reloads, and leaks nothing."""

import json

import pytest

from tests.lab.agent_scraping import background_unit
from tests.lab.lab_dom0 import leftovers
from tests.lab.service import BUSY, wait_until
from tests.patience import patient

#: capabilities(7), by number
CAP_DAC_OVERRIDE = 1
TRACEFS = "/sys/kernel/tracing"
#: leaves fewer of the lab's 16,384 maptrack entries than three mappings of 512 references need
FILLER = ("python3", "/root/dom0/fill_maptrack.py", "15000")


def process_status(service) -> dict[str, str]:
    pid = service.properties("MainPID")["MainPID"]
    lines = service.dom0.check_output("cat", f"/proc/{pid}/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_the_unit_measures_reloads_and_stops(dom0, service):
    service.start(f'{BUSY}engines = ["hypercall", "gntdev", "copy"]\n')
    status = process_status(service)
    assert dom0.check_output("id", "-u", "xengt").strip() == status["Uid"].split()[0] != "0"
    assert {int(status[name], 16) for name in ("CapEff", "CapBnd", "CapAmb")} == {
        1 << CAP_DAC_OVERRIDE
    }
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")

    assert wait_until(lambda: service.rounds() >= 2)
    found = service.scrape()
    counts = {k: v for k, v in found.items() if k[0] == "xengt_probe_latency_seconds_count"}
    assert {"hypercall", "gntdev", "copy"} == {labels.split('engine="')[1].split('"')[0]
                                       for _, labels in counts}  # fmt: skip
    assert min(counts.values()) > 0
    assert {value for key, value in found.items() if key[0] == "xengt_probe_errors_total"} == {0}
    assert found["xengt_host_read_failures_total", ""] == 0
    assert any(name == "xengt_domain_info" and "Domain-0" in labels for name, labels in found)

    checks = json.loads(dom0.run("xengt", "check", "--json").stdout)["checks"]
    service_checks = {each["name"]: each for each in checks if each["name"].startswith("service")}
    assert {name: each["state"] for name, each in service_checks.items()} == dict.fromkeys(
        ("service", "service configuration", "service port"), "ok"
    )
    assert (
        service_checks["service"]["what"]
        == "active, disabled: probing, listening on 127.0.0.1:9805"
    )

    # A domain that the toolstack destroys is replaced, which is no error.
    dom0.check_output("python3", "/root/dom0/destroy_benchmark_domain.py")
    assert wait_until(lambda: any("destroyed; a new one" in text for text in service.messages()))
    assert not [text for text in service.messages() if "failed" in text]

    # The journal has the status of a mapping that Xen rejects: the maptrack table is full.
    with background_unit(dom0, "filler", *FILLER, ready_text="full"):
        service.configure(f"{BUSY}calls = 1\nbatches = [512]\nmappings = [3]\n")
        assert service.control("reload") == 0
        assert wait_until(lambda: any("XENGT_STATUS" in each for each in service.journal()))
    (record, *_) = [each for each in service.journal() if "XENGT_STATUS" in each]
    assert record["XENGT_STATUS"] == "GNTST_no_space"
    assert record["PRIORITY"] == "4"
    assert record["LOGGER"] == "xengt.serve.probe"
    assert record["_UID"] == status["Uid"].split()[0]
    assert f"domain {record['XENGT_DOMID']}" in record["MESSAGE"]

    # An invalid configuration changes nothing; a reload returns once a valid one is in effect.
    service.configure("[probe]\nbatches = [0]\n")
    assert service.control("reload") == 0
    (record,) = [each for each in service.journal() if each["PRIORITY"] == "3"]
    assert "probe.batches[0] must be an integer from 1" in record["MESSAGE"]
    service.configure(f"{BUSY}batches = [1]\n")
    assert service.control("reload") == 0
    assert 'batch="1"' in str(service.scrape())
    assert 'batch="32"' not in str(service.scrape())
    assert wait_until(lambda: service.rounds() >= 1)

    seconds = service.stop()
    print(f"SIGTERM until it was gone: {seconds:.2f} s")
    assert 0 < seconds < patient(1)
    assert leftovers(dom0) == ""
    assert dom0.run("pgrep", "-x", "xengt").returncode == 1


def kernel_calls(service) -> float:
    """Return the calls of gntdev that the kernel has counted, including those of the probe."""
    found = service.scrape()
    calls = {k: v for k, v in found.items() if k[0] == "xengt_kernel_grant_seconds_count"}
    return sum(count for (_, labels), count in calls.items() if "gntdev" in labels)


@pytest.mark.long
def test_kernel_metrics_are_exported_and_tracing_is_removed(dom0, service):
    dom0.check_output(f"mountpoint -q {TRACEFS} || mount -t tracefs tracefs {TRACEFS}")
    service.start(f"{BUSY}[passive]\nenabled = true\n")
    assert service.scrape()["xengt_passive_up", ""] == 1, service.messages()
    assert wait_until(lambda: kernel_calls(service) > 0)
    traced = f"grep -h xengt {TRACEFS}/dynamic_events; ls -d {TRACEFS}/instances/*xengt*"
    assert "xengt" in dom0.run(traced).stdout
    seconds = service.stop()
    print(f"SIGTERM until it was gone: {seconds:.2f} s")
    assert 0 < seconds < patient(1)
    assert dom0.run(traced).stdout == ""
