"""Coverage-guided fuzzing of the differential test with libFuzzer."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.changes import apply_changes
from tests.hypervisor.fuzz.inputs import TEXTS, StepCodec
from tests.hypervisor.mutants.mutants import load_mutants
from tests.hypervisor.userspace import CHECKED, DIFFERENTIAL, OPTIMISED
from tests.patience import patient

#: without tracing of comparisons: those of the harness do not depend on constants in a step
FUZZER = ("-fsanitize=fuzzer", "-fno-sanitize-coverage=trace-cmp")
PARTS = ("fuzz/target.c", "fuzz/mutate.c", *DIFFERENTIAL)
#: an input is one byte and steps of 8 bytes
MAX_LENGTH = 1 + 8 * 128
#: the number of runs makes results reproducible; the time bounds them on a busy machine
RUNS, SECONDS, LONG_SECONDS = 10_000, 120, 600
#: name of the mutant to find: addresses of PTEs get another tag
FAULT = "tag-of-a-pte-address-differs"


@pytest.fixture(scope="session")
def codec(differential_library) -> StepCodec:
    return StepCodec(differential_library)


def run_fuzzer(fuzzer: Path, *words, **environment) -> subprocess.CompletedProcess:
    words = [fuzzer, *map(str, words)]
    environment = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0", **environment}
    return subprocess.run(
        words, capture_output=True, text=True, errors="replace", check=False, env=environment
    )


def minimize(fuzzer: Path, crash: Path) -> Path:
    """Shorten an input that crashes, for 15 s; return the file of the result."""
    result = crash.with_name("minimized")
    run_fuzzer(
        fuzzer, "-minimize_crash=1", "-max_total_time=15", f"-exact_artifact_path={result}", crash
    )
    return result if result.exists() else crash


def trace(fuzzer: Path, steps: Path) -> subprocess.CompletedProcess:
    # Leak detection would run the input twice.
    return run_fuzzer(fuzzer, "-detect_leaks=0", steps, TRACE="1")


def describe_crash(fuzzer: Path, crash: Path) -> str:
    done = trace(fuzzer, minimize(fuzzer, crash))
    sanitizer = done.stderr[-4000:] if "Sanitizer: " in done.stderr else ""
    return f"as an input for tests/hypervisor/fuzz/inputs:\n{done.stdout}{sanitizer}"


def fuzz(
    fuzzer: Path, into: Path, corpus: Path, *, seconds: int, runs: int = -1
) -> tuple[list[Path], str]:
    """Fuzz from a corpus; return the crashing inputs and the messages of libFuzzer."""
    done = run_fuzzer(
        *(fuzzer, corpus, "-seed=1", f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}"),
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


def statistic(name: str, messages: str) -> int:
    return int(re.findall(rf"{name}:? +(\d+)", messages)[-1])


@pytest.fixture(scope="module")
def fuzzer(build) -> Path:
    return build("fuzz", PARTS, (*CHECKED, *FUZZER), cc="clang")


def test_fuzzing_finds_no_difference(fuzzer, codec, tmp_path, request):
    corpus = codec.write(tmp_path / "corpus", worlds=4, length=64)
    initial = len(list(corpus.iterdir()))
    long = request.config.getoption("--long")
    bound = {"seconds": LONG_SECONDS} if long else {"seconds": SECONDS, "runs": RUNS}
    crashes, messages = fuzz(fuzzer, tmp_path, corpus, **bound)
    assert not crashes, describe_crash(fuzzer, crashes[0])
    # The fuzzer ran and found inputs that reach more than the initial corpus.
    assert statistic("stat::number_of_executed_units", messages) > initial + 100
    assert len(list(corpus.iterdir())) > initial + 10


def test_a_fault_is_found_from_an_empty_corpus_and_minimized(build, patched_sources, tmp_path):
    """The shortest sequence that shows this fault has four steps."""
    (fault,) = (mutant for mutant in load_mutants() if mutant.name == FAULT)
    sources = apply_changes(patched_sources, tmp_path / "sources", [fault.change])
    # The fault changes a status, so no sanitizer is needed.
    fuzzer = build("fuzz", PARTS, (*OPTIMISED, *FUZZER), cc="clang", patched=sources)

    empty = tmp_path / "corpus"
    empty.mkdir()
    crashes, messages = fuzz(fuzzer, tmp_path, empty, seconds=int(patient(900)))
    assert crashes, messages[-2000:]
    steps_text = describe_crash(fuzzer, crashes[0])
    steps = re.findall(r"^(\w\S*) \d+ \d+ \d+ \d+ \d+ \d+ \d+$", steps_text, re.MULTILINE)
    assert len(steps) <= 6, steps_text
    assert {"grant", "map"} <= set(steps), steps_text
    assert re.search(r"^# .*on stock, .* patched$", steps_text, re.MULTILINE), steps_text


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_handwritten_inputs_do_not_differ(fuzzer, codec, text, tmp_path):
    binary = tmp_path / text.stem
    binary.write_bytes(codec.encode(text.read_text()))
    done = trace(fuzzer, binary)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    # The trace is the text form of the input.
    assert codec.encode(done.stdout) == binary.read_bytes()
