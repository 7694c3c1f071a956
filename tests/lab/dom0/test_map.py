"""`xengt map` of real grants: its output, refused references, and no leaks after signals."""

import json
import signal
import subprocess
import sys
import time

import pytest
from patience import patient
from pv_only import pv_only

from xengt.recovery import journal, sweep
from xengt.sharing.gntalloc import shared_pages
from xengt.sharing.references import format_grefs


@pytest.fixture
def shared():
    """References of three pages that dom0 grants to itself."""
    with shared_pages(0, 3, own=0) as references:
        yield [reference.gref for reference in references]


def xengt_map(*words):
    return subprocess.run(
        ["xengt", "map", *words], capture_output=True, text=True, check=False, timeout=patient(120)
    )


def wait_until(condition):
    end = time.monotonic() + patient(120)
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pv_only
def test_shared_pages_are_reported(shared):
    done = xengt_map("0", format_grefs(shared), "--json")
    assert done.returncode == 0, done.stderr
    pages = json.loads(done.stdout)["pages"]
    assert [page["gref"] for page in pages] == shared
    assert all(page["shared"] for page in pages)
    assert len({page["sha256"] for page in pages}) == 3


def test_a_page_of_a_domain_is_dumped(empty, memory):
    domid, gref, _ = empty[5]
    done = xengt_map(str(domid), str(gref), "--hexdump", "--writable")
    assert done.returncode == 0, done.stderr
    assert f"domain {domid} reference {gref}" in done.stdout
    with memory.grant_table(domid, 1, writable=False) as table:
        # Linux unmaps asynchronously.
        assert wait_until(lambda: not table.in_use(gref))


def test_a_reference_without_a_grant_is_named(raw_domain):
    domid, _ = raw_domain
    done = xengt_map(str(domid), "9-11")
    assert done.returncode == 3
    assert f"reference 9 of domain {domid}" in done.stderr


#: `xengt map`, killed between the map and the unmap of the search for the rejected reference
KILLED_SEARCH = """
import os, signal
from xengt import cli
from xenlib_cffi.call import Call

Call.unmap_device = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
cli.app(["map", "{domid}", "8,9"])
"""


@pv_only
def test_the_next_run_cleans_up_after_a_killed_search(raw_domain, memory):
    domid, mfns = raw_domain
    with memory.grant_table(domid, 1) as table:
        table.permit(8, 0, mfns[0])
        done = subprocess.run(
            [sys.executable, "-c", KILLED_SEARCH.format(domid=domid)],
            check=False,
            timeout=patient(120),
        )
        assert done.returncode == -signal.SIGKILL
        assert table.in_use(8)
        with journal.open_journal() as opened:
            assert sweep.clean_up(opened).searched == 1
        # Linux unmaps asynchronously what gntdev mapped before.
        assert wait_until(lambda: not table.in_use(8))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_mapping_remains_after_a_signal(empty, memory, ending):
    domid, gref, _ = empty[0]
    words = ["xengt", "map", str(domid), str(gref), "--wait"]
    with memory.grant_table(domid, 1, writable=False) as table:
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as held:
            assert f"reference {gref}" in held.stdout.readline()
            assert table.in_use(gref)
            time.sleep(0.5)
            held.send_signal(ending)
            code = held.wait(timeout=patient(300))
        assert code == (-signal.SIGKILL if ending == signal.SIGKILL else 0)
        assert wait_until(lambda: not table.in_use(gref))
