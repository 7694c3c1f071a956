"""The lines that report progress where there is no terminal."""

import pytest

from xengt.bench.case import Setup
from xengt.bench.engines.names import EngineName
from xengt.bench.run import Progress
from xengt.cli.progress import progress_display


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ""),
        ({"references": 256}, ""),
        ({"threads": 2, "readonly": True}, " · threads 2 · readonly yes"),
        ({"rate": 1000.0}, " · rate 1,000"),
    ],
)
def test_a_line_has_what_is_not_at_its_default(capsys, options, words):
    setup = Setup(EngineName.HYPERCALL, "empty", 32, **options)
    with progress_display() as show:
        show(Progress(1, 8, setup, 0.0))
        show(Progress(1, 8, setup, 0.5))
    expected = f"setup 2 of 8: hypercall · granter empty · batch 32{words}\n"
    assert capsys.readouterr().err == expected
