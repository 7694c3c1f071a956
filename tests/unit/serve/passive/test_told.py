"""What the kernel has counted: its histogram read, and told by caller."""

import re
import shutil
from itertools import pairwise

import pytest

from tests.unit.told import collected
from tests.unit.tracing import captured, kernel
from xengt.serve.passive import tracefs
from xengt.serve.passive.kernel_histogram import HistogramEntry, entries
from xengt.serve.passive.kernel_metrics import BOUNDS_S, KernelMetrics, whose

__all__ = ["kernel"]  # fixtures


def test_a_real_histogram_is_read():
    found = [entry for name in ("map", "unmap") for entry in entries(captured(name))]
    calls = sum(entry.calls for entry in found)
    assert calls == sum(
        int(re.search(r"Hits: (\d+)", captured(name))[1]) for name in ("map", "unmap")
    )
    assert len(found) == sum(captured(name).count("{ caller") for name in ("map", "unmap"))
    for entry in found:
        assert 2 ** (entry.power - 1) < entry.ns / entry.calls <= 2**entry.power
        assert entry.references >= entry.calls
    # The kernel mapped for the network what it unmapped; so for the disk, one way or the other.
    for caller in ("netback", "blkback", "gntdev"):
        mapped, unmapped = (
            sum(each.references for each in entries(captured(name)) if whose(each) == caller)
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
def test_a_caller_is_told(symbol, module, caller):
    shown = f"{symbol} [{module}]" if module else symbol
    line = (
        f"{{ caller: [ffffffffc0420592] {shown:<45}, ns: ~ 2^9  }} hitcount:  1  ns:  500  refs:  2"
    )
    (entry,) = entries(line)
    assert entry == HistogramEntry(0xFFFFFFFFC0420592, symbol, module, 9, 1, 500, 2)
    assert whose(entry) == caller


# what is told


def labels(caller, operation):
    return ("caller", caller), ("operation", operation)


@pytest.fixture
def shown(kernel):
    """What is told of what the kernel has counted."""
    tracefs.begin()
    assert kernel.lines()
    for name in ("map", "unmap"):
        tracefs.kept(name).write_text(captured(name))
    calls = KernelMetrics(up=True)
    return lambda: collected(calls)


def test_bounds_are_powers_of_two():
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (256e-9, 67108864e-9)
    assert {high / low for low, high in pairwise(BOUNDS_S)} == {2}


def test_each_caller_has_its_calls_and_references(shown):
    found = shown()
    assert found["xengt_passive_up",] == 1
    for operation in ("map", "unmap"):
        for caller in ("blkback", "netback", "gntdev"):
            mine = [each for each in entries(captured(operation)) if whose(each) == caller]
            words = labels(caller, operation)
            calls = sum(each.calls for each in mine)
            assert found["xengt_kernel_grant_seconds_count", *words] == calls > 0
            assert found["xengt_kernel_grant_seconds_sum", *words] == pytest.approx(
                sum(each.ns for each in mine) * 1e-9
            )
            assert found["xengt_kernel_grant_references_total", *words] == sum(
                each.references for each in mine
            )
            for power, bound in enumerate(BOUNDS_S, 8):
                within = sum(each.calls for each in mine if each.power <= power)
                key = ("xengt_kernel_grant_seconds_bucket", *words)
                assert found[key[0], key[1], ("le", repr(bound)), key[2]] == within
        assert found["xengt_kernel_grant_seconds_count", *labels("other", operation)] == 0


def test_what_is_shorter_or_longer_than_the_bounds_is_counted(shown):
    line = "{{ caller: [0a] gntdev_x [xen_gntdev] , ns: ~ 2^{} }} hitcount: {} ns: 9 refs: 1\n"
    tracefs.kept("map").write_text(line.format("3 ", 2) + line.format(27, 5))
    found = shown()
    (caller, operation), name = labels("gntdev", "map"), "xengt_kernel_grant_seconds_bucket"
    assert found[name, caller, ("le", "2.56e-07"), operation] == 2
    assert found[name, caller, ("le", repr(BOUNDS_S[-1])), operation] == 2
    assert found[name, caller, ("le", "+Inf"), operation] == 7


def test_a_module_that_goes_leaves_its_calls(shown):
    before = shown()
    tracefs.kept("map").write_text(
        re.sub(r"\] \S+ \[xen_netback\]", "] 0xffffffffc0434a6c", captured("map"))
    )
    assert "xen_netback" not in tracefs.kept("map").read_text()
    assert shown() == before


def test_histograms_that_vanish_are_told(shown, kernel, caplog):
    shutil.rmtree(kernel.instance)
    assert shown() == {("xengt_passive_up",): 0}
    assert "no passive latencies any more" in caplog.text
