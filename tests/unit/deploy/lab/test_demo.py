"""The demo with a fake `lab` that records its arguments."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lablib import cli, places
from lablib.demo import command, results
from lablib.record import process_start

from tests.patience import patient
from tests.unit.made_documents import document
from tests.unit.waiting import wait_until
from xengt.compare import compare_runs
from xengt.documents.write import write_json

#: Records its arguments in $CALLS, prints what dom0 prints, and creates the files of --get. If the
#: arguments begin with $REFUSED, exits with $EXIT_CODE.
LAB = """\
#!/usr/bin/env python3
import json, os, sys
from pathlib import Path

arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
refused = os.environ["REFUSED"]
if refused and " ".join(arguments).startswith(refused):
    print("lab: refused", file=sys.stderr)
    sys.exit(int(os.environ["EXIT_CODE"]))
if arguments[0] == "run":
    for line in ("booting Xen and dom0…", "booting Xen and dom0: 0.1 s"):
        print(f"lab: {line}", file=sys.stderr)
    print("xengt-demo: measuring", file=sys.stderr, flush=True)
    to = Path(arguments[arguments.index("--to") + 1])
    to.mkdir(parents=True, exist_ok=True)
    if "cat > stock.json" in arguments[-1]:
        print("xengt-demo: waiting for the other side", file=sys.stderr, flush=True)
        (to / "stdin").write_text(sys.stdin.read())
    for at, word in enumerate(arguments):
        if word == "--get":
            name = arguments[at + 1]
            comparison = os.environ["COMPARISON"]
            text = comparison if name == "compare.json" else f"the content of {name}"
            (to / name).write_text(text)
"""


@pytest.fixture
def comparison(tmp_path) -> dict:
    """A comparison of two runs with the instruction clock."""
    paths = []
    for seed, scale in ((1, 1.0), (2, 0.7)):
        paths.append(str(tmp_path / f"{seed}.json"))
        made = document(seed=seed, scale=scale, batches=(1, 32), threads=(1,), clock="instructions")
        write_json(made.to_json(), paths[-1])
    return compare_runs(paths[:1], paths[1:]).to_json()


@pytest.fixture
def run(tmp_path, monkeypatch, comparison):
    """Return a function that runs the demo; it returns the process and the parsed `lab` calls."""
    here = tmp_path / "with space" / "lab"
    here.mkdir(parents=True)
    shutil.copy(places.LAB / "demo", here / "demo")
    shutil.copytree(places.LAB / "lablib", here / "lablib")
    shutil.copy(places.LAB.parent / "ensure", here.parent / "ensure")
    (here / "lab").write_text(LAB)
    (here / "lab").chmod(0o755)
    calls = tmp_path / "calls"
    for name, value in {
        "CALLS": str(calls),
        "REFUSED": "",
        "EXIT_CODE": "2",
        "COMPARISON": json.dumps(comparison),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words):
        calls.write_text("")
        done = subprocess.run(
            [here / "demo", "-o", tmp_path / "out", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=patient(60),
        )
        lines = [json.loads(line) for line in calls.read_text().splitlines()]
        return done, [cli.parser().parse_args(line) for line in lines]

    return run


def runs(calls):
    """Return the `lab run` calls."""
    return [args for args in calls if args.function is cli.run]


def bench_options(args) -> str:
    """Return the options of `xengt bench` in a `lab run` call."""
    return re.search(r"xengt bench (.*?) --json=", args.command[1])[1]


def test_both_hypervisors_run_the_same_benchmark_with_the_instruction_clock(run):
    done, calls = run("-n", "77")
    assert done.returncode == 0, done.stderr
    labs = sorted(runs(calls), key=lambda args: args.hypervisor, reverse=True)
    assert [args.hypervisor for args in labs] == ["stock", "patched"]
    assert all(args.guest and args.exact and not args.boot for args in labs)
    assert bench_options(labs[0]) == bench_options(labs[1])
    assert bench_options(labs[0]).endswith("--samples 77")


def test_the_patched_dom0_gets_the_stock_document_and_compares(run, tmp_path):
    done, calls = run()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/stdin").read_text() == "the content of stock.json"
    (patched,) = (args for args in runs(calls) if args.hypervisor == "patched")
    words = shlex.split(patched.command[1].rpartition("&&")[2].partition(">")[0])
    assert words[:5] == ["xengt", "compare", "stock.json", "--", "patched.json"]
    assert {"patched.json", "compare.json", "compare.html", "compare.txt"} == set(patched.get)


def test_output_has_stages_table_summary_and_paths(run, tmp_path):
    done, _ = run()
    stages = [re.sub(r" +[\d.]+ s$", "", line) for line in done.stderr.splitlines()]
    for side in command.SIDES:
        assert f"{side}: booting Xen and dom0" in stages
        assert f"{side}: measuring" in stages
    assert stages[0] == "installing packages"
    assert stages[-1] == "comparing"
    assert done.stdout.startswith("\nInstructions per operation (medians; ")
    assert "µs" not in done.stdout
    assert re.search(r"takes [\d.]+ % fewer instructions in batches of 32, and ", done.stdout)
    assert f"The page:      {tmp_path}/out/compare.html" in done.stdout
    assert re.search(r"^Total time: \d+ s$", done.stdout, re.MULTILINE)
    log = (tmp_path / "cache/xengt/log/demo-stock.log").read_text()
    assert "lab: booting Xen and dom0…" in log


def test_killing_the_demo_ends_its_lab(tmp_path):
    code = (
        "import sys; from pathlib import Path; from lablib.demo.stages import LabProcess, Stages\n"
        f"stages = Stages(Path({str(tmp_path / 'stages')!r}))\n"
        "lab = ['sh', '-c', 'echo $$ >&2; exec sleep 600']\n"
        f"LabProcess(lab, '', stages, Path({str(tmp_path / 'log')!r})); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment
    ) as parent:
        log = tmp_path / "log"
        assert wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
        pid = int(log.read_text())
        assert process_start(pid) is not None
        parent.kill()
    assert wait_until(lambda: process_start(pid) is None)


def test_wall_clock_alternates_boots_of_both_hypervisors(run, tmp_path):
    done, calls = run("--wall-clock", "-b", "2")
    assert done.returncode == 0, done.stderr
    labs = runs(calls)
    assert [args.hypervisor for args in labs] == ["stock", "patched"] * 2
    assert all(args.boot and not args.exact for args in labs)
    names = ("stock-1.json", "patched-1.json", "stock-2.json")
    assert labs[-1].put == [tmp_path / "out" / name for name in names]
    words = shlex.split(labs[-1].command[1].rpartition("&&")[2].partition(">")[0])
    assert words[2:] == [
        *("stock-1.json", "stock-2.json", "--", "patched-1.json", "patched-2.json"),
        *("--json=compare.json", "--html", "compare.html"),
    ]
    assert command.LIMITS in done.stdout
    assert "boot 4 of 4, patched: measuring" in done.stderr


@pytest.mark.parametrize(("words", "threads"), [((), []), (("--threads", "multi"), ["1", "2"])])
def test_threads_multi_adds_cases_with_two_threads(run, words, threads):
    _, calls = run("--wall-clock", "-b", "1", *words)
    for args in runs(calls):
        assert re.findall(r"--threads (\d)", bench_options(args)) == threads
        assert args.threads == ("multi" if threads else "single")


def test_xen_args_are_passed_to_both_hypervisors(run):
    _, calls = run("--xen-args", "loglvl=all gnttab=x")
    assert [args.xen_args for args in runs(calls)] == ["loglvl=all gnttab=x"] * 2


@pytest.mark.parametrize(
    ("words", "refused"),
    [((), "source"), (("--hypervisor", "debian"), ""), (("--hypervisor=debian",), "")],
)
def test_without_a_source_debians_hypervisor_is_measured(run, monkeypatch, words, refused):
    monkeypatch.setenv("REFUSED", refused)
    monkeypatch.setenv("EXIT_CODE", "4")
    done, calls = run(*words)
    assert done.returncode == 0, done.stderr
    (lab,) = (args for args in runs(calls))
    assert (lab.hypervisor, lab.exact, lab.guest) == ("debian", True, True)
    assert "compare" not in lab.command[1]
    assert "the content of debian.txt" in done.stdout
    assert "Skipped: building Xen with and without the patches" in done.stdout
    assert ("no source of Xen can be downloaded" in done.stderr) == bool(refused)


def test_a_local_source_is_passed_to_every_build(run):
    done, calls = run("--xen-source", "a tree")
    assert done.returncode == 0, done.stderr
    assert [str(args.xen_source) for args in calls[1:]] == ["a tree"] * 3


def test_a_missing_local_source_is_an_error_without_fallback(run, monkeypatch):
    monkeypatch.setenv("REFUSED", "source --xen-source none")
    done, calls = run("--xen-source=none")
    assert done.returncode == 2
    assert runs(calls) == []


@pytest.mark.parametrize("side", command.SIDES)
def test_a_failed_lab_ends_the_demo_and_its_log_is_named(run, monkeypatch, tmp_path, side):
    monkeypatch.setenv("REFUSED", f"run --hypervisor {side}")
    monkeypatch.setenv("EXIT_CODE", "3")
    done, _ = run()
    assert done.returncode == 3
    assert f"{side}: the lab failed with exit code 3" in done.stderr
    assert f"the complete log is {tmp_path}/cache/xengt/log/demo-{side}.log" in done.stderr
    assert "  | lab: refused" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hypervisor", "stock"), "--hypervisor: invalid choice: 'stock'"),
        (("--xen-source", "x", "--hypervisor=debian"), "--xen-source has no effect with"),
        (("--patches", "2"), "unrecognized arguments: --patches 2"),
        (("-b", "3"), "-b needs --wall-clock"),
        (("--threads", "multi"), "--threads multi needs --wall-clock"),
        (("--wall-clock", "-b", "0"), "-b: invalid"),
        (("-o",), "-o: expected one argument"),
    ],
)
def test_conflicting_options_are_usage_errors(run, words, message):
    done, calls = run(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert calls == []


def test_a_pair_below_the_measurement_overhead_is_not_reported_as_faster():
    cases = Path(__file__).parents[2] / "busy_demo"
    sides = (sorted(map(str, cases.glob(f"{side}-*.json"))) for side in command.SIDES)
    comparison = compare_runs(*sides).to_json()
    text = f"{results.table(comparison)}\n{results.summary(comparison)}"
    assert "inconclusive: below the measurement overhead" in text
    assert "the same time, within the confidence interval, in batches of 32" in text
    assert "% less" not in text
