"""What the names of the engines declare agrees with their classes."""

import pytest

from xengt.bench.engines import _CLASSES, EngineName
from xengt.bench.engines.copying import CopyingEngine
from xengt.bench.engines.names import COPYING, TOUCHING
from xengt.break_even.document import DIRECTIONS


@pytest.mark.parametrize("engine", EngineName)
def test_an_engine_that_copies_is_declared_as_one(engine):
    assert issubclass(_CLASSES[engine], CopyingEngine) == (engine in COPYING)
    assert (_CLASSES[engine].operations == DIRECTIONS) == (engine in COPYING)


def test_engines_that_copy_replace_engines_that_map():
    for replaced in COPYING.values():
        assert replaced
        assert not set(replaced) & set(COPYING)
    assert not TOUCHING & set(COPYING)
