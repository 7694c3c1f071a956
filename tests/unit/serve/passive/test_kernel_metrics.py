"""The kernel's histograms: parsed, and exported by caller."""

import re
import shutil
from itertools import pairwise

import pytest

from tests.unit.exposition import samples_of
from tests.unit.fake_tracefs import captured_histogram, fake_tracefs
from xengt.serve.passive import tracefs
from xengt.serve.passive.kernel_histogram import HistogramEntry, entries
from xengt.serve.passive.kernel_metrics import BOUNDS_S, KernelMetrics, caller_of

__all__ = ["fake_tracefs"]  # fixtures


def captured_entries(operation, caller):
    return [each for each in entries(captured_histogram(operation)) if caller_of(each) == caller]


def test_a_captured_histogram_is_parsed():
    found = [entry for name in ("map", "unmap") for entry in entries(captured_histogram(name))]
    calls = sum(entry.calls for entry in found)
    assert calls == sum(
        int(re.search(r"Hits: (\d+)", captured_histogram(name))[1]) for name in ("map", "unmap")
    )
    assert len(found) == sum(
        captured_histogram(name).count("{ caller") for name in ("map", "unmap")
    )
    for entry in found:
        assert 2 ** (entry.power - 1) < entry.ns / entry.calls <= 2**entry.power
        assert entry.references >= entry.calls
    # All that was mapped was unmapped again: for the network, for the disk, and by gntdev.
    for caller in ("netback", "blkback", "gntdev"):
        mapped, unmapped = (
            sum(each.references for each in captured_entries(name, caller))
            for name in ("map", "unmap")
        )
        assert mapped == unmapped > 0


@pytest.mark.parametrize(
    ("symbol", "module", "caller"),
    [
        ("xen_blkbk_map", "xen_blkback", "blkback"),
        ("a_new_name", "xen_gntdev", "gntdev"),
        ("gntdev_map_grant_pages", "", "gntdev"),
        ("__unmap_grant_pages_done", "", "gntdev"),
        ("xenvif_tx_action", "", "netback"),
        ("unmap_refs_callback", "", "blkback"),
        ("scsiback_gnttab_data_map_batch", "xen_scsiback", "other"),
        ("0xffffffffc0420592", "", "other"),
    ],
)
def test_the_caller_follows_from_module_or_symbol(symbol, module, caller):
    location = f"{symbol} [{module}]" if module else symbol
    line = (
        f"{{ caller: [ffffffffc0420592] {location:<45}, ns: ~ 2^9  }} "
        "hitcount:  1  ns:  500  refs:  2"
    )
    (entry,) = entries(line)
    assert entry == HistogramEntry(0xFFFFFFFFC0420592, symbol, module, 9, 1, 500, 2)
    assert caller_of(entry) == caller


# metrics


def labels(caller, operation):
    return ("caller", caller), ("operation", operation)


@pytest.fixture
def kernel_samples(fake_tracefs):
    """A function that returns the samples of the captured histograms."""
    tracefs.install()
    assert fake_tracefs.triggers()
    for name in ("map", "unmap"):
        tracefs.histogram_file(name).write_text(captured_histogram(name))
    metrics = KernelMetrics(up=True)
    return lambda: samples_of(metrics)


def test_bounds_are_powers_of_two():
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (256e-9, 1.07374182)
    assert [high / low for low, high in pairwise(BOUNDS_S)] == pytest.approx([2] * 22)


def test_each_caller_has_its_calls_and_references(kernel_samples):
    found = kernel_samples()
    assert found["xengt_passive_up",] == 1
    for operation in ("map", "unmap"):
        for caller in ("blkback", "netback", "gntdev"):
            mine = captured_entries(operation, caller)
            label_values = labels(caller, operation)
            calls = sum(each.calls for each in mine)
            assert found["xengt_kernel_grant_seconds_count", *label_values] == calls > 0
            assert found["xengt_kernel_grant_seconds_sum", *label_values] == pytest.approx(
                sum(each.ns for each in mine) * 1e-9
            )
            assert found["xengt_kernel_grant_references_total", *label_values] == sum(
                each.references for each in mine
            )
            for power, bound in enumerate(BOUNDS_S, 8):
                within = sum(each.calls for each in mine if each.power <= power)
                key = ("xengt_kernel_grant_seconds_bucket", *label_values)
                assert found[key[0], key[1], ("le", repr(bound)), key[2]] == within
        assert found["xengt_kernel_grant_seconds_count", *labels("other", operation)] == 0


def test_calls_beyond_the_bounds_are_counted(kernel_samples):
    line = "{{ caller: [0a] gntdev_x [xen_gntdev] , ns: ~ 2^{} }} hitcount: {} ns: 9 refs: 1\n"
    tracefs.histogram_file("map").write_text(line.format("3 ", 2) + line.format(31, 5))
    found = kernel_samples()
    (caller, operation), name = labels("gntdev", "map"), "xengt_kernel_grant_seconds_bucket"
    assert found[name, caller, ("le", "2.56e-07"), operation] == 2
    assert found[name, caller, ("le", repr(BOUNDS_S[-1])), operation] == 2
    assert found[name, caller, ("le", "+Inf"), operation] == 7


def test_the_calls_of_an_unloaded_module_keep_their_caller(kernel_samples):
    before = kernel_samples()
    tracefs.histogram_file("map").write_text(
        re.sub(r"\] \S+ \[xen_netback\]", "] 0xffffffffc0434a6c", captured_histogram("map"))
    )
    assert "xen_netback" not in tracefs.histogram_file("map").read_text()
    assert kernel_samples() == before


def test_histograms_that_vanish_are_logged(kernel_samples, fake_tracefs, caplog):
    shutil.rmtree(fake_tracefs.instance)
    assert kernel_samples() == {("xengt_passive_up",): 0}
    assert "cannot read the kernel's histograms" in caplog.text
