"""`xengt bench --suite`: its options and messages; `xengt.bench.suite_run` measures."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xengt.bench.case import EMPTY_GRANTER
from xengt.bench.document import BenchDocument
from xengt.bench.partial import partial_file
from xengt.bench.suite_run import measure_suite
from xengt.cli.clean_journal import clean_journal
from xengt.cli.progress import progress_display
from xengt.errors import UnmetError
from xengt.xen.preflight import require_control_domain


def run_suite(
    values: Mapping[str, Sequence[Any]],
    *,
    samples: int | None,
    duration_s: float | None,
    digits: int,
    target: str | None,
) -> BenchDocument:
    """Measure the suite with the options of the command.

    Args:
        values: for each dimension whose option is given, the values.
        samples: the value of `--samples`, which a suite does not accept.
        duration_s: seconds to measure each setup; None: ten minutes for all.
        digits: significant digits of the histograms.
        target: the value of `--json`; the results so far are saved beside this file.

    Raises:
        UnmetError: an option has no effect with `--suite`, or as `measure_suite`.
        FailedError: as `measure_suite`.
    """
    granter = _granter(values, samples)
    require_control_domain()
    file = partial_file(target)
    if file is None:
        _say(
            "the results of the suite are not saved until the end; with --json=FILE, an "
            "interrupted suite can be continued"
        )
    with _interruption_explained(file), clean_journal() as journal, progress_display() as show:
        return measure_suite(
            journal,
            granter=granter,
            duration_s=duration_s,
            digits=digits,
            file=file,
            show=show,
            say=_say,
        )


def _granter(values: Mapping[str, Sequence[Any]], samples: int | None) -> str:
    """Return the value of --granter; refuse options that a suite ignores."""
    ignored = [f"--{name}" for name in values if name != "granter"]
    if samples is not None:
        ignored.append("--samples")
    if ignored:
        raise UnmetError(
            f"{ignored[0]} has no effect with --suite, which selects the setups",
            f"leave out {ignored[0]}, or --suite",
        )
    granters = values.get("granter", [EMPTY_GRANTER])
    if len(granters) > 1:
        raise UnmetError(
            "--suite accepts only one value of --granter",
            "give one value of --granter, and measure a suite for each granter",
        )
    return str(granters[0])


@contextmanager
def _interruption_explained(file: Path | None) -> Iterator[None]:
    """Print how an interrupted suite is continued.

    Args:
        file: the file of the results so far; None if they are not saved.
    """
    try:
        yield
    except KeyboardInterrupt:
        if file is None:
            _say("the suite was interrupted, and its results were not saved (--json=FILE)")
        elif file.exists():
            _say(
                f"the suite was interrupted; the results so far are in {file}: repeat the same "
                "command in the same boot to continue"
            )
        else:
            _say("the suite was interrupted before it had any results")
        raise


def _say(text: str) -> None:
    print(f"xengt: {text}", file=sys.stderr)
