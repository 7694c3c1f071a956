"""The option `--json`, which is the same in every command with a document."""

import sys
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

JsonTarget = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="[=FILE]",
        show_default=False,
        help="Print the document as one line of JSON, or write it to FILE.",
    ),
]


class DocumentCommand(TyperCommand):
    """A command with `--json[=FILE]`: without FILE, the document is printed."""

    #: whether `--json FILE`, in two words, is accepted as well, as xengt 0.3 required it
    file_in_next_word: ClassVar[bool] = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer carries its own click)
        """Parse the arguments after adding the value to a `--json` without one.

        Args:
            ctx: the parser's context.
            args: the arguments of the command.
        """
        completing = bool(ctx.resilient_parsing)
        return super().parse_args(ctx, self.complete(args, completing=completing))

    def complete(self, args: list[str], *, completing: bool) -> list[str]:
        """Return the arguments with the values that the user may omit.

        Args:
            args: the arguments of the command.
            completing: a shell completes the line, so that nothing is printed.
        """
        complete: list[str] = []
        words = iter([*args, "--"])
        word = next(words)
        for following in words:
            if word != "--json":
                complete.append(word)
                word = following
            elif self.file_in_next_word and (following == "-" or not following.startswith("-")):
                if not completing:
                    _warn(following)
                complete.append(f"--json={following}")
                word = next(words)
            else:
                complete.append("--json=-")
                word = following
        return complete


def _warn(target: str) -> None:
    advice = "--json" if target == "-" else f"--json={target}"
    print(
        f"xengt: `--json {target}` is deprecated, and the next version rejects it: write {advice}",
        file=sys.stderr,
    )


class DocumentFileCommand(DocumentCommand):
    """A command that accepts `--json FILE` in two words, for one version."""

    file_in_next_word = True
