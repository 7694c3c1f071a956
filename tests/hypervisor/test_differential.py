"""Differential test: the same operations on stock and patched, with stock as the oracle."""

import itertools
import re
import subprocess
from pathlib import Path

import cffi
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.patience import patient

HEADER = Path(__file__).parent / "differential/differential.h"
#: (translated_mapper, strict_iommu, fast, flush) of struct setting
SETTINGS = [
    *itertools.product((0, 1), (0, 1, 2), (0, 1), (0,)),
    *((0, 0, 1, 1), (0, 1, 0, 1), (0, 2, 1, 1), (1, 0, 1, 2)),
]
#: steps for each setting; with --long 16 million in total, which take a quarter of an hour
STEPS, LONG_STEPS = 100_000, 1_000_000
#: statuses that each kind of step must have had in a run, so that the run is meaningful
REQUIRED_STATUSES = {
    "map": {0, -1, -2, -3, -9},
    "unmap": {0, -1, -4, -6},
    "replace": {0, -1, -4},
    "bad-handle": {-4},
    "copy": {0, -1, -3},
    "version": {0, -16},
    "swap": {0, -3, -12},
}


def run_steps(differential: Path, setting, seed: int, steps: int, length: int = 400):
    words = [differential, *map(str, (*setting, seed, length, steps))]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=patient(1200))


@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda s: "translated {}, IOMMU {}, fast {}, flush {}".format(*s)
)
def test_random_operations_do_not_differ(differential, setting, request):
    long = request.config.getoption("--long")
    done = run_steps(differential, setting, seed=1, steps=LONG_STEPS if long else STEPS)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    statuses: dict[str, set[int]] = {}
    for kind, status in re.findall(r"^(\S+) (-?\d+) \d+$", done.stdout, re.MULTILINE):
        statuses.setdefault(kind, set()).add(int(status))
    for kind, required in REQUIRED_STATUSES.items():
        assert required <= statuses[kind], kind


@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda s: "translated {}, IOMMU {}, fast {}, flush {}".format(*s)
)
def test_random_operations_do_not_differ_under_sanitizers(checked_differential, setting):
    done = run_steps(checked_differential, setting, seed=1_000_000, steps=10_000)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert done.stderr == ""


@pytest.fixture(scope="module")
def library(differential_library):
    ffi = cffi.FFI()
    text = re.sub(r"^#.*$", "", HEADER.read_text(), flags=re.MULTILINE)
    ffi.cdef("typedef struct _IO_FILE FILE;" + text)
    return ffi, ffi.dlopen(str(differential_library))


byte = st.integers(0, 255)


def state_machine(ffi, lib):
    """Return a state machine of steps, from which hypothesis finds a minimal failing sequence."""

    class Steps(RuleBasedStateMachine):
        @initialize(setting=st.sampled_from(SETTINGS))
        def begin(self, setting):
            self.outcome = ffi.new("struct outcome *")
            lib.differ_begin(ffi.new("struct setting *", setting), self.outcome)

        def take(self, *step):
            lib.differ_take(ffi.new("struct step *", step))
            assert not self.outcome.differs, ffi.string(self.outcome.message).decode()

        @rule(to=byte, granter=st.integers(0, 3), ref=byte, flags=byte, page=byte)
        def grant(self, to, granter, ref, flags, page):
            self.take(lib.GRANT, to, granter, ref, flags, page, 0, 0)

        @rule(granter=st.integers(0, 3), ref=byte)
        def revoke(self, granter, ref):
            self.take(lib.REVOKE, 0, granter, ref, 0, 0, 0, 0)

        @rule(mapper=byte, granter=byte, ref=byte, flags=st.integers(0, 31), place=byte, more=byte)
        def map(self, mapper, granter, ref, flags, place, more):
            self.take(lib.MAP, mapper, granter, ref, flags, place, 0, more)

        @rule(vcpu=byte, how=st.integers(0, 7), place=byte, mapping=byte, more=byte)
        def unmap(self, vcpu, how, place, mapping, more):
            self.take(lib.UNMAP, vcpu, 0, 0, how, place, mapping, more)

        @rule(kind=byte, rest=st.tuples(*[byte] * 7))
        def any_step(self, kind, rest):
            self.take(kind, *rest)

        def teardown(self):
            if hasattr(self, "outcome") and not self.outcome.differs:
                lib.differ_end()
                assert not self.outcome.differs, ffi.string(self.outcome.message).decode()

    return Steps


def test_state_machine_finds_no_difference(library):
    run_state_machine_as_test(
        state_machine(*library),
        settings=settings(
            max_examples=150,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
