"""Map and unmap by a correct caller: the patched hypervisor must behave as stock Xen.

Each script runs on every hypervisor. The transcripts contain the statuses, the flags in the
granter's entries, Xen's pins, and how each host address can be accessed. They must be equal.
"""

from itertools import chain

import pytest

from tests.lab.dom0_programs import classes, comparable
from tests.lab.fast_admission import admission_errors
from tests.lab.grant_scripts import (
    DEATH,
    KINDS,
    SAME_TAG,
    VARIED,
    batches,
    other_operations,
    pairs,
    partial_pairs,
    partly_then_whole,
    refusals,
    scripts_of,
    side_by_side,
    triples,
)
from tests.lab.random_grant_scripts import random_script

#: scripts run with fast entries off: few, as the patched runs exercise this maptrack code too
FEW = ("death", "small-near", "partial-near-0", "random-0")
#: cases per script, limited by the console ring that Xen's debug key g prints into
AT_ONCE = 80
SEEDS = range(3)


def scripts():
    """Name → script."""
    yield "death", DEATH
    for apart, where in ((1, "near"), (SAME_TAG, "alike")):
        yield f"pairs-{where}", side_by_side(pairs(KINDS, apart))
        yield f"varied-{where}", side_by_side(pairs(VARIED, apart))
        yield f"partly-{where}", side_by_side(partly_then_whole(apart))
        small = chain(batches(apart), refusals(apart), other_operations(apart))
        yield f"small-{where}", side_by_side(small)
        yield f"triples-{where}", side_by_side(triples(apart))
        for number, text in enumerate(scripts_of(partial_pairs(apart), AT_ONCE)):
            yield f"partial-{where}-{number}", text
    for seed in SEEDS:
        yield f"random-{seed}", random_script(seed, 1500)


SCRIPTS = dict(scripts())


@pytest.fixture(scope="session")
def transcripts(labs, programs):
    """Returns the transcript of a script on a variant; each is run once."""
    known: dict[tuple[str, str], str] = {}

    def transcript(variant: str, name: str) -> str:
        if (variant, name) not in known:
            known[variant, name] = programs.run(labs.get(variant), "script", stdin=SCRIPTS[name])
        return known[variant, name]

    return transcript


@pytest.mark.parametrize("name", SCRIPTS)
def test_stock_unmaps_everything(transcripts, name):
    transcript = transcripts("stock", name)
    assert set(classes(transcript).values()) == {"slow"}
    assert transcript.splitlines()[-1] in {"state g 5 = gone", "unmap f - own = -4 flags 0"}
    assert transcript.count("\npins") == SCRIPTS[name].count("\npins")


@pytest.mark.parametrize("variant", ["patched", "patched-debug"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_patched_behaves_as_stock(transcripts, name, variant):
    other = transcripts(variant, name)
    assert comparable(other) == comparable(transcripts("stock", name))
    assert list(admission_errors(SCRIPTS[name], other)) == []
    assert "fast" in classes(other).values()


@pytest.mark.parametrize("variant", ["switched-off"])
@pytest.mark.parametrize("name", FEW)
def test_behaves_as_stock_with_fast_entries_off(transcripts, name, variant):
    other = transcripts(variant, name)
    assert comparable(other) == comparable(transcripts("stock", name))
    assert set(classes(other).values()) == {"slow"}
