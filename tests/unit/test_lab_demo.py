"""What the demo asks of the lab, of a lab that only writes it down."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
from lablib import cli, places
from made_documents import document

from xengt.compare import Metric, compare
from xengt.document import write_json
from xengt.report import compare_table
from xengt.report.table import console_on

LAB = """\
#!/bin/sh
python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@" >> "$ASKED"
case $* in *compare.txt*) mkdir -p "$OUT"; cp "$COMPARED" "$OUT/compare.txt" ;; esac
[ "$1" != source ] || [ "$REFUSED" = source ] || printf '4.20.9-1\\n/a/place\\n'
[ "$1 ${2-.}" != "source $REFUSED" ] || exit 2
[ "$1" != source ] || [ "$REFUSED" != source ] || exit 4
[ "$1 $3" != "$REFUSED" ] || { echo "lab: there are none" >&2; exit 2; }
"""


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Runs the demo; what came of it, and what the lab was asked, read by its parser."""
    here = tmp_path / "a place"
    here.mkdir()
    shutil.copy(places.LAB / "demo", here / "demo")
    (here / "lab").write_text(LAB)
    (here / "lab").chmod(0o755)
    asked = tmp_path / "asked"
    monkeypatch.setenv("ASKED", str(asked))
    monkeypatch.setenv("REFUSED", "")
    monkeypatch.setenv("OUT", str(tmp_path / "cache/xengt/demo"))
    monkeypatch.setenv("COMPARED", str(tmp_path / "compared"))
    (tmp_path / "compared").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words):
        asked.write_text("")
        done = subprocess.run([here / "demo", *words], check=False, capture_output=True, text=True)
        lines = [json.loads(line) for line in asked.read_text().splitlines()]
        return done, [cli.parser().parse_args(line) for line in lines]

    return run


def boots_of(asked):
    return [args for args in asked if args.function is cli.run]


def test_boots_are_interleaved_and_measure_the_same(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    done, asked = demo("-o", str(tmp_path / "out"), "-n", "77", "-b", "2")
    assert done.returncode == 0, done.stderr
    boots = boots_of(asked)
    assert [args.hypervisor for args in boots] == ["stock", "patched"] * 2
    assert all(args.guest and not args.exact for args in boots)
    names = ["stock-1.json", "patched-1.json", "stock-2.json", "patched-2.json"]
    plans = []
    for args, name in zip(boots, names, strict=True):
        ((plan, written),) = re.findall(r"xengt bench (.*?) --json (\S+) >", args.command[1])
        assert written == name
        plans.append(plan)
        assert name in args.get
        assert args.to == tmp_path / "out"
    assert plans[0].endswith("--samples 77")
    assert all(plan == plans[0] for plan in plans)
    said = [line for line in done.stderr.splitlines() if line.startswith("demo:")]
    assert said == [
        "demo: both hypervisors are built from Xen 4.20.9-1",
        *(f"demo: boot {n} of 4: {args.hypervisor}" for n, args in enumerate(boots, 1)),
    ]


def test_the_last_boot_compares_all_that_was_measured(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    done, asked = demo("-o", str(tmp_path / "out"), "-b", "2")
    *before, last = boots_of(asked)
    assert not any("compare" in args.command[1] for args in before)
    compare = shlex.split(last.command[1].rpartition("&&")[2].partition(">")[0])
    assert compare[:2] == ["xengt", "compare"]
    middle = compare.index("--")
    assert compare[2:middle] == ["stock-1.json", "stock-2.json"]
    assert compare[middle + 1 : middle + 3] == ["patched-1.json", "patched-2.json"]
    given = [tmp_path / "out" / name for name in ("stock-1.json", "patched-1.json", "stock-2.json")]
    assert last.put == given
    assert {"compare.json", "compare.html"} <= set(last.get)
    assert done.stdout.splitlines()[-2].endswith(f"{tmp_path / 'out'}/compare.html")


@pytest.mark.parametrize(("words", "boots"), [((), 6), (("--exact",), 2), (("-b", "1"), 2)])
def test_how_many_boots(demo, words, boots):
    _, asked = demo(*words)
    assert len(boots_of(asked)) == boots


def test_options_of_the_lab_go_to_every_boot(demo):
    _, asked = demo("--exact", "-b", "2", "--xen-args", "loglvl=all gnttab=x")
    assert len(boots_of(asked)) == 4
    for args in boots_of(asked):
        assert args.exact
        assert args.xen_args == "loglvl=all gnttab=x"


@pytest.mark.parametrize(
    ("words", "threads"),
    [((), []), (("--threads", "multi"), ["1", "2"]), (("--guest", "--threads=multi"), ["1", "2"])],
)
def test_two_cpus_are_measured_with_two_threads(demo, words, threads):
    """And only then: by turns on one, they say nothing of each other."""
    _, asked = demo("-b", "1", *words)
    for args in boots_of(asked):
        plan = args.command[1].partition("--json")[0]
        assert re.findall(r"--threads (\d)", plan) == threads
        assert args.threads == ("multi" if threads else "single")


def test_without_patches_nothing_boots(demo, monkeypatch):
    monkeypatch.setenv("REFUSED", "build patched")
    done, asked = demo()
    assert done.returncode == 2
    assert done.stderr.endswith("lab: there are none\n")
    assert boots_of(asked) == []


@pytest.mark.parametrize(
    ("words", "refused"),
    [((), "source"), (("--hypervisor", "debian"), ""), (("--hypervisor=debian",), "")],
)
def test_without_a_source_debians_own_is_measured(demo, monkeypatch, words, refused):
    monkeypatch.setenv("REFUSED", refused)
    done, asked = demo("--exact", *words)
    assert done.returncode == 0, done.stderr
    (boot,) = boots_of(asked)
    assert (boot.hypervisor, boot.exact, boot.guest) == ("debian", True, True)
    assert boot.get == ["debian.json", "debian.html"]
    assert "skipped: building Xen with and without the patches" in done.stdout
    assert "compare" not in boot.command[1]
    assert ("without a source of Xen" in done.stderr) == bool(refused)


def test_a_local_source_goes_to_every_build_and_boot(demo):
    done, asked = demo("-b", "1", "--xen-source", "a tree")
    assert done.returncode == 0, done.stderr
    assert [str(args.xen_source) for args in asked] == ["a tree"] * 5


def test_a_local_source_that_is_not_there_is_no_reason_for_another(demo, monkeypatch):
    monkeypatch.setenv("REFUSED", "--xen-source=none")
    done, asked = demo("--xen-source=none")
    assert done.returncode == 2
    assert boots_of(asked) == []


def test_a_boot_that_fails_ends_it(demo, monkeypatch):
    monkeypatch.setenv("REFUSED", "run patched")
    done, asked = demo("-b", "2")
    assert done.returncode == 2
    assert len(boots_of(asked)) == 2
    assert "compare.html" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hypervisor", "stock"), "only `debian' goes with --hypervisor"),
        (("--xen-source",), "--xen-source wants a value"),
        (
            ("--xen-source", "x", "--hypervisor=debian"),
            "--xen-source is not for --hypervisor debian",
        ),
        (("--exact", "--xen=/x"), "--xen=/x is not for it"),
        (("--patches", "2"), "--patches is not for it"),
        (("-b", "0"), "-b 0: a number of boots is 1 or more"),
        (("-b", "many"), "-b many"),
        (("-o",), "-o wants a value"),
    ],
)
def test_what_it_cannot_do(demo, words, said):
    done, asked = demo(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert asked == []


def test_the_terminal_shows_what_the_run_was_for(demo, tmp_path):
    runs = []
    for seed in range(2):
        runs.append([str(tmp_path / f"{seed}.json")])
        write_json(document(seed=seed).to_json(), *runs[seed])
    with (tmp_path / "compared").open("w") as file:
        compare_table.show(compare(*runs), console_on(file))
    whole = (tmp_path / "compared").read_text()
    for words, shown in (
        ((), {Metric.PAIR, Metric.NET}),
        (("--threads", "multi"), {Metric.PAIR, Metric.NET, Metric.THROUGHPUT}),
    ):
        done, _ = demo(*words)
        for metric in Metric:
            assert metric.title in whole
            assert (metric.title in done.stdout) == (metric in shown)
