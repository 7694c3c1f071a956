"""libFuzzer on the differential: it looks for steps that reach what none has reached yet."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.changes import changed
from tests.hypervisor.fuzz.inputs import TEXTS, Differ
from tests.hypervisor.mutants.mutants import mutants
from tests.hypervisor.userspace import CHECKED, DIFFER, OPTIMISED
from tests.patience import patient

#: comparisons are not followed: the harness makes many, and they are of nothing a step could hit on
FUZZER = ("-fsanitize=fuzzer", "-fno-sanitize-coverage=trace-cmp")
PARTS = ("fuzz/target.c", "fuzz/mutate.c", *DIFFER)
#: an input is a byte and steps of 8
LONGEST = 1 + 8 * 128
#: with one seed, so many inputs are the same ones each time; a busy machine tries fewer
RUNS, SECONDS, LONG_SECONDS = 10_000, 120, 600
#: what is to be found: of an address of a PTE another tag is made
FAULT = "tag-made-in-two-ways"


@pytest.fixture(scope="session")
def known(differ_library) -> Differ:
    return Differ(differ_library)


def run(fuzzer: Path, *words, **environment) -> subprocess.CompletedProcess:
    words = [fuzzer, *map(str, words)]
    environment = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0", **environment}
    return subprocess.run(
        words, capture_output=True, text=True, errors="replace", check=False, env=environment
    )


def shortest(fuzzer: Path, crash: Path) -> Path:
    """Cut what crashes to what it takes; the trace of the result is for people."""
    cut = crash.with_name("shortest")
    run(fuzzer, "-minimize_crash=1", "-max_total_time=15", f"-exact_artifact_path={cut}", crash)
    return cut if cut.exists() else crash


def traced(fuzzer: Path, steps: Path) -> subprocess.CompletedProcess:
    # Looking for leaks would play it twice.
    return run(fuzzer, "-detect_leaks=0", steps, TRACE="1")


def explained(fuzzer: Path, crash: Path) -> str:
    done = traced(fuzzer, shortest(fuzzer, crash))
    told = done.stderr[-4000:] if "Sanitizer: " in done.stderr else ""
    return f"as an input of tests/hypervisor/fuzz/inputs:\n{done.stdout}{told}"


def fuzz(
    fuzzer: Path, into: Path, corpus: Path, *, seconds: int, runs: int = -1
) -> tuple[list[Path], str]:
    """Fuzz from a corpus, and return what crashes, and what libFuzzer says."""
    done = run(
        *(fuzzer, corpus, "-seed=1", f"-max_total_time={seconds}", f"-max_len={LONGEST}"),
        *(
            f"-timeout={patient(60):.0f}",
            f"-runs={runs}",
            "-print_final_stats=1",
            f"-artifact_prefix={into}/",
        ),
    )
    crashes = [path for path in into.iterdir() if re.match(r"(crash|timeout|oom|leak)-", path.name)]
    assert bool(crashes) == bool(done.returncode), done.stderr[-4000:]
    return crashes, done.stderr


def figure(name: str, told: str) -> int:
    return int(re.findall(rf"{name}:? +(\d+)", told)[-1])


@pytest.fixture(scope="module")
def fuzzer(build) -> Path:
    return build("fuzz", PARTS, (*CHECKED, *FUZZER), cc="clang")


def test_nothing_differs(fuzzer, known, tmp_path, request):
    corpus = known.write(tmp_path / "corpus", worlds=4, length=64)
    begun = len(list(corpus.iterdir()))
    long = request.config.getoption("--long")
    bound = {"seconds": LONG_SECONDS} if long else {"seconds": SECONDS, "runs": RUNS}
    crashes, told = fuzz(fuzzer, tmp_path, corpus, **bound)
    assert not crashes, explained(fuzzer, crashes[0])
    # It has run, and has found what the corpus it began with does not reach.
    assert figure("stat::number_of_executed_units", told) > begun + 100
    assert len(list(corpus.iterdir())) > begun + 10


def test_a_fault_is_found_and_cut_short(build, patched_sources, tmp_path):
    """From nothing: the shortest sequence that shows it has four steps of four different fields."""
    (fault,) = (mutant for mutant in mutants() if mutant.name == FAULT)
    sources = changed(patched_sources, tmp_path / "sources", [fault.change])
    # What is wrong is an answer, for which no sanitizer is needed.
    fuzzer = build("fuzz", PARTS, (*OPTIMISED, *FUZZER), cc="clang", patched=sources)

    empty = tmp_path / "corpus"
    empty.mkdir()
    crashes, told = fuzz(fuzzer, tmp_path, empty, seconds=int(patient(900)))
    assert crashes, told[-2000:]
    trace = explained(fuzzer, crashes[0])
    steps = re.findall(r"^(\w\S*) \d+ \d+ \d+ \d+ \d+ \d+ \d+$", trace, re.MULTILINE)
    assert len(steps) <= 6, trace
    assert {"grant", "map"} <= set(steps), trace
    assert re.search(r"^# .*on stock, .* patched$", trace, re.MULTILINE), trace


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_inputs_by_hand(fuzzer, known, text, tmp_path):
    binary = tmp_path / text.stem
    binary.write_bytes(known.encode(text.read_text()))
    done = traced(fuzzer, binary)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    # What the trace writes is the input again.
    assert known.encode(done.stdout) == binary.read_bytes()
