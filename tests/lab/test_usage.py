"""`xengt usage` in dom0 of each hypervisor: table, JSON and --watch."""

import json

import jsonschema
import pytest

from tests.lab.lab_dom0 import ROOT, Dom0, leftovers

SCHEMA = json.loads((ROOT / "xengt/documents/usage.schema.json").read_text(encoding="utf-8"))
#: variant → source of the counters, and the kind of maptrack
SOURCE_AND_MAPTRACK = {
    "stock": ("query_size", "stock"),
    "patched": ("hypfs", "fast"),
    "switched-off": ("hypfs", "no-fast"),
}
#: keys of a domain that stock Xen does not report
MISSING_ON_STOCK = (
    *("maptrack_frames", "max_maptrack_frames"),
    *("fast_live", "fast_maps", "slow_live", "slow_maps"),
    *("tlb_flushes", "skipped_tlb_flushes"),
)
#: columns of the table that are empty on stock Xen; flushes have a table of their own
EMPTY_COLUMNS = 6
#: tests of dom0/ to run with fast entries off; test_run_in_dom0.py runs them on stock and patched
DOM0_TESTS = ("test_usage.py", "test_recovery.py")

on_each_variant = pytest.mark.parametrize("variant", SOURCE_AND_MAPTRACK)


@on_each_variant
def test_the_document_matches_the_lab(labs, variant):
    document = json.loads(labs.get(variant).check_output("xengt usage --json"))
    jsonschema.validate(document, SCHEMA)
    assert (document["source"], document["maptrack"]) == SOURCE_AND_MAPTRACK[variant]
    zero, guest = document["domains"]
    assert [zero["name"], guest["name"]] == ["Domain-0", "guest"]
    assert zero["grant_frames"] >= 1
    assert all(figure is None for key, figure in zero.items() if key in MISSING_ON_STOCK) == (
        variant == "stock"
    )
    if variant == "stock":
        assert [reason["keys"] for reason in document["missing"]] == [list(MISSING_ON_STOCK)]
    else:
        assert document["missing"] == []
        # MAPTRACK of lab_pool.py limits dom0; the guest grants 256 pages and maps none.
        assert zero["max_maptrack_frames"] == 64
        assert (guest["fast_live"], guest["slow_live"]) == (0, 0)
    # the limit on this lab's command line
    assert document["default_max_maptrack_frames"] == {"frames": 64, "source": "hypfs"}


@on_each_variant
def test_the_table_has_a_dash_for_missing_values(labs, variant):
    head, zero, guest, *notes = labs.get(variant).check_output("xengt usage").splitlines()
    assert head.split()[:2] == ["domid", "name"]
    assert (zero.split()[:2], guest.split()[1]) == (["0", "Domain-0"], "guest")
    assert zero.split().count("-") == (EMPTY_COLUMNS if variant == "stock" else 0)
    assert any("boot the patched hypervisor" in note for note in notes) == (variant == "stock")


def watch_two_readings(dom0: Dom0, options: str, *, terminal: bool = False) -> str:
    """Return the output of `--watch` over two readings; SIGINT must end it with exit code 0."""
    command = f"sh -c 'echo $$ > /tmp/watched.pid; exec xengt usage --watch 0.5 {options}'"
    if terminal:
        command = f'script -qec "{command}" /dev/null'.replace("$$", r"\$\$")
    dom0.check_output(
        "rm -f /tmp/watched*; "
        "{ until [ $(grep -c Domain-0 /tmp/watched) -ge 2 ]; do sleep 0.2; done; "
        "kill -INT $(cat /tmp/watched.pid); } 2> /dev/null & "
        f"{command} > /tmp/watched"
    )
    return dom0.check_output("cat /tmp/watched")


@pytest.mark.parametrize("variant", ["stock", "patched", "switched-off"])
def test_ctrl_c_ends_watch(labs, variant):
    dom0 = labs.get(variant)
    lines = watch_two_readings(dom0, "--json")
    readings = [json.loads(line) for line in lines.splitlines()]
    for document in readings:
        jsonschema.validate(document, SCHEMA)
    assert readings[0]["created"] < readings[1]["created"]
    assert "\x1b" not in watch_two_readings(dom0, "")
    output = watch_two_readings(dom0, "", terminal=True)
    assert "press Ctrl-C to end" in output
    assert "\x1b[" in output
    assert "Traceback" not in output


@on_each_variant
def test_check_and_bench_report_the_same_maptrack(labs, variant):
    dom0 = labs.get(variant)
    checks = json.loads(dom0.check_output("xengt", "check", "--json"))["checks"]
    lines = {line["name"]: line for line in checks}
    which = {"stock": "stock:", "fast": "fast:", "no-fast": "patched, with fast entries off"}
    assert lines["maptrack"]["state"] == "ok"
    assert lines["maptrack"]["what"].startswith(which[SOURCE_AND_MAPTRACK[variant][1]])
    assert dom0.bench("--samples", "10")["host"]["maptrack"] == SOURCE_AND_MAPTRACK[variant][1]


@pytest.mark.parametrize("variant", ["switched-off"])
@pytest.mark.parametrize("name", DOM0_TESTS)
def test_in_dom0_with_fast_entries_off(labs, variant, name):
    dom0 = labs.get(variant)
    done = dom0.run("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"/root/dom0/{name}")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    assert leftovers(dom0) == ""


def live_mappings(dom0) -> tuple[int, int]:
    zero, *_ = json.loads(dom0.check_output("xengt usage --json"))["domains"]
    return zero["fast_live"], zero["slow_live"]


@pytest.mark.parametrize("variant", ["patched", "switched-off"])
@pytest.mark.parametrize("granter", ["empty", "self", "guest"])
def test_mappings_of_a_killed_run_are_counted_until_cleaned_up(labs, variant, granter):
    dom0 = labs.get(variant)
    before = live_mappings(dom0)
    dom0.check_output(
        f"xengt bench --granter {granter} --batch 32 --references 32 --hold 96 --duration 60"
        " > /tmp/killed.log 2>&1 < /dev/null & pid=$!; "
        "until grep -q 'setup 1 of' /tmp/killed.log; do sleep 0.2; done; sleep 3; "
        "kill -9 $pid; wait $pid; test $? = 137"
    )
    fast, slow = live_mappings(dom0)
    # 96 outstanding mappings of different references, and up to 32 of the current batch
    held = (96, 0) if variant == "patched" else (0, 96)
    assert held[0] <= fast - before[0] <= held[0] + 32
    assert held[1] <= slow - before[1] <= held[1] + 32
    again = dom0.run("xengt", "bench", "--samples", "10")
    assert again.returncode == 0, again.stderr
    assert "cleaned up after a killed run" in again.stderr
    assert live_mappings(dom0) == before
    assert leftovers(dom0) == ""
