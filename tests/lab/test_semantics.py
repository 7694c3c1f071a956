"""Map and unmap by a caller that knows its mappings: stock Xen is the oracle of the others.

A script runs on each hypervisor; the transcripts have the statuses, the granter's status words,
Xen's pins, and what the caller can do at each of its addresses. They must be equal.
"""

from itertools import chain

import pytest

from tests.lab.admission import differences
from tests.lab.programs import classes, comparable
from tests.lab.random_scripts import at_random
from tests.lab.scripts import (
    DEATH,
    KINDS,
    SAME_TAG,
    VARIED,
    batches,
    in_order,
    others,
    pairs,
    partial_pairs,
    partly_then_whole,
    refusals,
    script,
    triples,
)

#: the boot option leaves one maptrack, which the patched runs use too: a few scripts show that
FEW = ("death", "small-near", "partial-near-0", "random-0")
#: cases side by side: their active entries have to fit the ring Xen's debug key prints into
AT_ONCE = 80
SEEDS = range(3)


def scripts():
    """Name → script."""
    yield "death", DEATH
    for apart, where in ((1, "near"), (SAME_TAG, "alike")):
        yield f"pairs-{where}", script(pairs(KINDS, apart))
        yield f"varied-{where}", script(pairs(VARIED, apart))
        yield f"partly-{where}", script(partly_then_whole(apart))
        small = chain(batches(apart), refusals(apart), others(apart))
        yield f"small-{where}", script(small)
        yield f"triples-{where}", script(triples(apart))
        for number, text in enumerate(in_order(partial_pairs(apart), AT_ONCE)):
            yield f"partial-{where}-{number}", text
    for seed in SEEDS:
        yield f"random-{seed}", at_random(seed, 1500)


SCRIPTS = dict(scripts())


@pytest.fixture(scope="session")
def transcripts(labs, programs):
    """What a script said on a variant; each is run once."""
    known: dict[tuple[str, str], str] = {}

    def transcript(variant: str, name: str) -> str:
        if (variant, name) not in known:
            known[variant, name] = programs.run(labs.get(variant), "script", given=SCRIPTS[name])
        return known[variant, name]

    return transcript


@pytest.mark.parametrize("name", SCRIPTS)
def test_stock_takes_all_back(transcripts, name):
    said = transcripts("stock", name)
    assert set(classes(said).values()) == {"slow"}
    assert said.splitlines()[-1] in {"state g 5 = gone", "unmap f - own = -4 flags 0"}
    assert said.count("\npins") == SCRIPTS[name].count("\npins")


@pytest.mark.parametrize("variant", ["patched", "patched-debug"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_as_on_stock(transcripts, name, variant):
    other = transcripts(variant, name)
    assert comparable(other) == comparable(transcripts("stock", name))
    assert list(differences(SCRIPTS[name], other)) == []
    assert "fast" in classes(other).values()


@pytest.mark.parametrize("variant", ["switched-off"])
@pytest.mark.parametrize("name", FEW)
def test_switched_off(transcripts, name, variant):
    other = transcripts(variant, name)
    assert comparable(other) == comparable(transcripts("stock", name))
    assert set(classes(other).values()) == {"slow"}
