"""The documents and reports that a command writes, to files or to standard output."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from xengt.documents.write import STANDARD_OUTPUT, require_writable, write_json, write_text
from xengt.errors import UnmetError, XengtError
from xengt.report.terminal.console import console_on
from xengt.runs.run_file import is_run


class Outputs:
    """The outputs of one command, checked before it does anything.

    Args:
        targets: option → file, `-` for standard output, or None if the option is not given.

    Raises:
        UnmetError: a file cannot be written, or two options have the same target.
    """

    def __init__(self, targets: Mapping[str, str | None]) -> None:
        """Check every target, without changing an existing file."""
        self.targets = {option: target for option, target in targets.items() if target is not None}
        self._begun = False
        places: dict[str | Path, str] = {}
        for option, target in self.targets.items():
            require_writable(target, option)
            place = target if target == STANDARD_OUTPUT else Path(target).resolve()
            other = places.setdefault(place, option)
            if other != option and (place == STANDARD_OUTPUT or not _is_device(target)):
                raise UnmetError(
                    f"{other} and {option} write to the same target: {target}",
                    "give each of them a file of its own",
                )

    @property
    def on_standard_output(self) -> bool:
        """Whether a document goes to standard output, where nothing else may be printed then."""
        return STANDARD_OUTPUT in self.targets.values()

    @property
    def console(self) -> Console:
        """The console for the report: standard error if standard output has a document."""
        return console_on(sys.stderr if self.on_standard_output else sys.stdout)

    def spare_runs(self) -> None:
        """Refuse to overwrite a run, whose measurement may have taken hours.

        The deprecated `--json FILE` takes the run that follows `--json` for FILE.

        Raises:
            UnmetError: a target is a bench document.
        """
        for option, target in self.targets.items():
            if Path(target).is_file() and is_run(target):
                raise UnmetError(
                    f"{option} would overwrite the run {target}",
                    "name another file; to print the document, put `--json` at the end",
                )

    def write_document(self, document: Mapping[str, object]) -> None:
        """Write a document if `--json` is given; a further one is appended to the same file.

        Args:
            document: one that `xengt schema` describes.

        Raises:
            FailedError: the file cannot be written.
        """
        if "--json" in self.targets:
            write_json(document, self.targets["--json"], append=self._begun)
            self._begun = True

    def write(self, reports: Mapping[str, Callable[[], str]]) -> None:
        """Write all reports of a measurement, even if one of them cannot be written.

        Args:
            reports: option → function that returns the text.

        Raises:
            XengtError: the first error.
        """
        errors: list[XengtError] = []
        for option, render in reports.items():
            if option in self.targets:
                try:
                    write_text(render(), self.targets[option])
                except XengtError as error:
                    errors.append(error)
        if errors:
            raise errors[0]


def _is_device(target: str) -> bool:
    path = Path(target)
    return path.exists() and not path.is_file()
