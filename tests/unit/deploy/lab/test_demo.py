"""What the demo asks of the lab, of a lab that only writes it down."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lablib import cli, demo, places, results
from lablib.record import birth

from tests.patience import patient
from tests.unit.made_documents import document
from tests.unit.waiting import wait_until
from xengt.compare import compare_runs
from xengt.documents.write import write_json

#: Notes what it is asked, plays what a dom0 prints, and makes the files that are fetched.
LAB = """\
#!/usr/bin/env python3
import json, os, sys
from pathlib import Path

arguments = sys.argv[1:]
with open(os.environ["ASKED"], "a") as asked:
    asked.write(json.dumps(arguments) + "\\n")
refused = os.environ["REFUSED"]
if refused and " ".join(arguments).startswith(refused):
    print("lab: refused", file=sys.stderr)
    sys.exit(int(os.environ["WITH"]))
if arguments[0] == "run":
    for line in ("booting Xen and dom0…", "booting Xen and dom0: 0.1 s"):
        print(f"lab: {line}", file=sys.stderr)
    print("xengt-demo: measuring", file=sys.stderr, flush=True)
    to = Path(arguments[arguments.index("--to") + 1])
    to.mkdir(parents=True, exist_ok=True)
    if "cat > stock.json" in arguments[-1]:
        print("xengt-demo: waiting for the other side", file=sys.stderr, flush=True)
        (to / "handed-over").write_text(sys.stdin.read())
    for at, word in enumerate(arguments):
        if word == "--get":
            name = arguments[at + 1]
            made = os.environ["COMPARED"] if name == "compare.json" else f"the content of {name}"
            (to / name).write_text(made)
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
    """Runs the demo; what came of it, and what the lab was asked, read by its parser."""
    here = tmp_path / "a place" / "lab"
    here.mkdir(parents=True)
    shutil.copy(places.LAB / "demo", here / "demo")
    shutil.copytree(places.LAB / "lablib", here / "lablib")
    shutil.copy(places.LAB.parent / "ensure", here.parent / "ensure")
    (here / "lab").write_text(LAB)
    (here / "lab").chmod(0o755)
    asked = tmp_path / "asked"
    for name, value in {
        "ASKED": str(asked),
        "REFUSED": "",
        "WITH": "2",
        "COMPARED": json.dumps(comparison),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words):
        asked.write_text("")
        done = subprocess.run(
            [here / "demo", "-o", tmp_path / "out", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=patient(60),
        )
        lines = [json.loads(line) for line in asked.read_text().splitlines()]
        return done, [cli.parser().parse_args(line) for line in lines]

    return run


def started(asked):
    return [args for args in asked if args.function is cli.run]


def plan(args) -> str:
    """The benchmark that a lab runs."""
    return re.search(r"xengt bench (.*?) --json", args.command[1])[1]


def test_both_sides_measure_the_same_with_the_instruction_clock(run):
    done, asked = run("-n", "77")
    assert done.returncode == 0, done.stderr
    labs = sorted(started(asked), key=lambda args: args.hypervisor, reverse=True)
    assert [args.hypervisor for args in labs] == ["stock", "patched"]
    assert all(args.guest and args.exact and not args.boot for args in labs)
    assert plan(labs[0]) == plan(labs[1])
    assert plan(labs[0]).endswith("--samples 77")


def test_the_patched_dom0_gets_the_stock_document_and_compares(run, tmp_path):
    done, asked = run()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/handed-over").read_text() == "the content of stock.json"
    (patched,) = (args for args in started(asked) if args.hypervisor == "patched")
    words = shlex.split(patched.command[1].rpartition("&&")[2].partition(">")[0])
    assert words[:5] == ["xengt", "compare", "stock.json", "--", "patched.json"]
    assert {"patched.json", "compare.json", "compare.html", "compare.txt"} == set(patched.get)


def test_a_newcomer_sees_stages_a_table_a_sentence_and_where_things_are(run, tmp_path):
    done, _ = run()
    stages = [re.sub(r" +[\d.]+ s$", "", line) for line in done.stderr.splitlines()]
    for side in demo.SIDES:
        assert f"{side}: booting Xen and dom0" in stages
        assert f"{side}: measuring" in stages
    assert stages[0] == "installing packages"
    assert stages[-1] == "comparing"
    assert done.stdout.startswith("\nInstructions per operation (medians; ")
    assert "µs" not in done.stdout
    assert re.search(r"takes [\d.]+ % fewer instructions in batches of 32, and ", done.stdout)
    assert f"The page:      {tmp_path}/out/compare.html" in done.stdout
    log = (tmp_path / "cache/xengt/log/demo-stock.log").read_text()
    assert "lab: booting Xen and dom0…" in log


def test_a_lab_ends_with_the_demo_that_was_killed(tmp_path):
    code = (
        "import sys; from pathlib import Path; from lablib.stages import Process, Stages\n"
        f"stages = Stages(Path({str(tmp_path / 'stages')!r}))\n"
        "lab = ['sh', '-c', 'echo $$ >&2; exec sleep 600']\n"
        f"Process(lab, '', stages, Path({str(tmp_path / 'log')!r})); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment
    ) as parent:
        log = tmp_path / "log"
        assert wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
        pid = int(log.read_text())
        assert birth(pid) is not None
        parent.kill()
    assert wait_until(lambda: birth(pid) is None)


def test_wall_clock_boots_by_turns(run, tmp_path):
    done, asked = run("--wall-clock", "-b", "2")
    assert done.returncode == 0, done.stderr
    labs = started(asked)
    assert [args.hypervisor for args in labs] == ["stock", "patched"] * 2
    assert all(args.boot and not args.exact for args in labs)
    given = [tmp_path / "out" / name for name in ("stock-1.json", "patched-1.json", "stock-2.json")]
    assert labs[-1].put == given
    words = shlex.split(labs[-1].command[1].rpartition("&&")[2].partition(">")[0])
    assert words[2:] == [
        *("stock-1.json", "stock-2.json", "--", "patched-1.json", "patched-2.json"),
        *("--json", "compare.json", "--html", "compare.html"),
    ]
    assert demo.LIMITS in done.stdout
    assert "boot 4 of 4, patched: measuring" in done.stderr


@pytest.mark.parametrize(("words", "threads"), [((), []), (("--threads", "multi"), ["1", "2"])])
def test_two_cpus_are_measured_with_two_threads(run, words, threads):
    _, asked = run("--wall-clock", "-b", "1", *words)
    for args in started(asked):
        assert re.findall(r"--threads (\d)", plan(args)) == threads
        assert args.threads == ("multi" if threads else "single")


def test_words_for_xen_go_to_both_sides(run):
    _, asked = run("--xen-args", "loglvl=all gnttab=x")
    assert [args.xen_args for args in started(asked)] == ["loglvl=all gnttab=x"] * 2


@pytest.mark.parametrize(
    ("words", "refused"),
    [((), "source"), (("--hypervisor", "debian"), ""), (("--hypervisor=debian",), "")],
)
def test_without_a_source_debians_own_is_measured(run, monkeypatch, words, refused):
    monkeypatch.setenv("REFUSED", refused)
    monkeypatch.setenv("WITH", "4")
    done, asked = run(*words)
    assert done.returncode == 0, done.stderr
    (lab,) = (args for args in started(asked))
    assert (lab.hypervisor, lab.exact, lab.guest) == ("debian", True, True)
    assert "compare" not in lab.command[1]
    assert "the content of debian.txt" in done.stdout
    assert "Skipped: building Xen with and without the patches" in done.stdout
    assert ("without a source of Xen" in done.stderr) == bool(refused)


def test_a_local_source_goes_to_every_build(run):
    done, asked = run("--xen-source", "a tree")
    assert done.returncode == 0, done.stderr
    assert [str(args.xen_source) for args in asked[1:]] == ["a tree"] * 3


def test_a_local_source_that_is_not_there_is_no_reason_for_another(run, monkeypatch):
    monkeypatch.setenv("REFUSED", "source --xen-source none")
    done, asked = run("--xen-source=none")
    assert done.returncode == 2
    assert started(asked) == []


@pytest.mark.parametrize("side", demo.SIDES)
def test_a_lab_that_fails_ends_the_demo_and_names_the_log(run, monkeypatch, tmp_path, side):
    monkeypatch.setenv("REFUSED", f"run --hypervisor {side}")
    monkeypatch.setenv("WITH", "3")
    done, _ = run()
    assert done.returncode == 3
    assert f"{side}: the lab failed with exit code 3" in done.stderr
    assert f"the whole log is {tmp_path}/cache/xengt/log/demo-{side}.log" in done.stderr
    assert "  | lab: refused" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hypervisor", "stock"), "--hypervisor: invalid choice: 'stock'"),
        (("--xen-source", "x", "--hypervisor=debian"), "--xen-source is not for"),
        (("--patches", "2"), "unrecognized arguments: --patches 2"),
        (("-b", "3"), "-b is for --wall-clock"),
        (("--threads", "multi"), "--threads multi is for --wall-clock"),
        (("--wall-clock", "-b", "0"), "-b: invalid"),
        (("-o",), "-o: expected one argument"),
    ],
)
def test_what_it_cannot_do(run, words, said):
    done, asked = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert asked == []


def test_a_pair_below_the_overhead_is_not_called_faster():
    cases = Path(__file__).parents[2] / "busy_demo"
    sides = (sorted(map(str, cases.glob(f"{side}-*.json"))) for side in demo.SIDES)
    made = compare_runs(*sides).to_json()
    text = f"{results.table(made)}\n{results.paragraph(made)}"
    assert "cannot tell: below the measurement overhead" in text
    assert "as much time, as far as these boots show, in batches of 32" in text
    assert "% less" not in text
