"""Stock is the oracle: the same operations on both, and all there is to see compared."""

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

HEADER = Path(__file__).parent / "differ/differ.h"
SETTINGS = list(itertools.product((0, 1), (0, 1, 2), (0, 1)))
#: of each setting: ten million in all for who has ten minutes
STEPS, LONG_STEPS = 100_000, 1_250_000
#: what each kind of step has to have been answered in a run for it to say anything
USUAL = {
    "map": {0, -1, -2, -3, -9},
    "unmap": {0, -1, -4, -6},
    "replace": {0, -1, -4},
    "bad-handle": {-4},
    "copy": {0, -1, -3},
    "version": {0, -16},
    "swap": {0, -3, -12},
}


def play(differ: Path, setting, seed: int, steps: int, length: int = 400):
    words = [differ, *map(str, (*setting, seed, length, steps))]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=patient(1200))


@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda s: "translated {}, IOMMU {}, fast {}".format(*s)
)
def test_random_operations(differ, setting, request):
    long = request.config.getoption("--long")
    done = play(differ, setting, seed=1, steps=LONG_STEPS if long else STEPS)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    answers: dict[str, set[int]] = {}
    for kind, status in re.findall(r"^(\S+) (-?\d+) \d+$", done.stdout, re.MULTILINE):
        answers.setdefault(kind, set()).add(int(status))
    for kind, wanted in USUAL.items():
        assert wanted <= answers[kind], kind


@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda s: "translated {}, IOMMU {}, fast {}".format(*s)
)
def test_random_operations_under_sanitizers(checked_differ, setting):
    done = play(checked_differ, setting, seed=1_000_000, steps=10_000)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert done.stderr == ""


@pytest.fixture(scope="module")
def library(differ_library):
    ffi = cffi.FFI()
    text = re.sub(r"^#.*$", "", HEADER.read_text(), flags=re.MULTILINE)
    ffi.cdef("typedef struct _IO_FILE FILE;" + text)
    return ffi, ffi.dlopen(str(differ_library))


byte = st.integers(0, 255)


def machine(ffi, lib):
    """Steps that mean something, one by one, so that what fails comes out as few of them."""

    class Both(RuleBasedStateMachine):
        @initialize(setting=st.sampled_from(SETTINGS))
        def begin(self, setting):
            self.outcome = ffi.new("struct outcome *")
            lib.differ_begin(ffi.new("struct setting *", setting), self.outcome)

        def take(self, *step):
            lib.differ_take(ffi.new("struct step *", step))
            assert not self.outcome.differs, ffi.string(self.outcome.what).decode()

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

        @rule(what=byte, rest=st.tuples(*[byte] * 7))
        def anything(self, what, rest):
            self.take(what, *rest)

        def teardown(self):
            if hasattr(self, "outcome") and not self.outcome.differs:
                lib.differ_end()
                assert not self.outcome.differs, ffi.string(self.outcome.what).decode()

    return Both


def test_a_state_machine(library):
    run_state_machine_as_test(
        machine(*library),
        settings=settings(
            max_examples=150,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
