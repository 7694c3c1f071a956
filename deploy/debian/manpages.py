#!/usr/bin/env python3
"""Writes the man pages beside this file, from what the program itself says.

Run it (where xengt can be imported) when a command, an option or serve.toml has
changed; a test tells.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from xengt.cli import app
from xengt.errors import Exit
from xengt.recovery import journal

HERE = Path(__file__).parent
CONFIG = "/etc/xengt/serve.toml"

ENDINGS = {
    Exit.DONE: "Done.",
    Exit.BEYOND_BOUND: "Measured, but beyond a bound that was asked for.",
    Exit.UNMET: "A wrong option or configuration, or something that is missing.",
    Exit.FAILED: "Failed while running.",
}


def pages() -> dict[str, str]:
    """Return each page's file name and text."""
    return {"xengt.1": _lines(_xengt()), "xengt-serve.toml.5": _lines(_configuration())}


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _xengt() -> Iterator[str]:
    program: Any = get_command(app)
    yield from _head("xengt", 1, "User Commands", program.help)
    yield r".B xengt"
    yield r"\fICOMMAND\fP [\fIOPTION\fP]... [\fIARGUMENT\fP]..."
    yield ".SH DESCRIPTION"
    yield from _prose(
        "Most commands run as root in a Xen dom0. `xengt check` tells what a machine lacks for"
        " them. They map and unmap pages made for the purpose, or granted for it, and touch no"
        " others; what a killed run has left, the next one takes back."
    )
    yield ".SH COMMANDS"
    for name, command in program.commands.items():
        yield from _command(name, command)
    yield ".SH EXIT STATUS"
    for code in Exit:
        yield from _item(str(int(code)), ENDINGS[code])
    yield ".SH FILES"
    yield from _item(CONFIG, "What the service xengt.service is configured with.")
    yield from _item(str(journal.PATH), "What is mapped by a run that may be killed.")
    yield from _see_also("xengt-serve.toml(5)", "xl(1)", "xen-command-line(7)")


def _configuration() -> Iterator[str]:
    yield from _head("xengt-serve.toml", 5, "File Formats", "Configuration of `xengt serve`.")
    yield rf".I {_plain(CONFIG)}"
    yield ".SH DESCRIPTION"
    yield from _prose(
        "A TOML file that `xengt serve --config` reads when it starts and on SIGHUP. One that is"
        " wrong keeps the agent from starting, with exit status 2; to one that runs it changes"
        " nothing. Either way a message says which key, and what it may be."
    )
    yield ".PP"
    yield from _prose("All keys, with what holds without them:")
    yield ".PP"
    yield ".EX"
    yield from map(_plain, (HERE / "serve.toml").read_text(encoding="utf-8").splitlines())
    yield ".EE"
    yield from _see_also("xengt(1)", "systemctl(1)")


def _head(name: str, section: int, kind: str, what: str) -> Iterator[str]:
    yield rf".\" From the program itself, by {Path(__file__).name}: change it there."
    yield f'.TH {_plain(name.upper())} {section} "" xengt "{kind}"'
    yield ".SH NAME"
    yield rf"{_plain(name)} \- {_marked(what[0].lower() + what[1:].rstrip('.'))}"
    yield ".SH SYNOPSIS"


def _command(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 (typer carries its own click)
    options = [each for each in command.params if each.opts[0].startswith("-")]
    operands = [each for each in command.params if each not in options]
    words = [f"xengt {name}", r"[\fIOPTION\fP]...", *map(_operand, operands)]
    yield f'.SS "{" ".join(words)}"'
    for number, paragraph in enumerate(re.split(r"\n\n+", command.help.strip())):
        kind, _, example = paragraph.partition("Example: ")
        if number:
            yield ".PP"
        if kind:
            yield from _prose(paragraph)
        else:
            yield "Example:"
            yield ".PP"
            yield ".EX"
            yield "    " + _plain(" ".join(example.split()))
            yield ".EE"
    for each in operands:
        yield from _item(_metavar(each), each.help)
    for each in options:
        word = ", ".join(each.opts)
        yield from _item(word if each.is_flag else f"{word} {_metavar(each)}", _meaning(each))


def _operand(operand: Any) -> str:  # noqa: ANN401
    word = rf"\fI{_plain(_metavar(operand))}\fP"
    if operand.nargs == -1 and not word.endswith(r"...\fP"):
        word += "..."
    return word if operand.required else f"[{word}]"


def _metavar(parameter: Any) -> str:  # noqa: ANN401
    return str(parameter.metavar or parameter.name.upper().replace("_", "-"))


def _meaning(option: Any) -> str:  # noqa: ANN401
    shown = option.show_default
    if shown is True and not option.is_flag and isinstance(option.default, int | float | str):
        shown = option.default
    known = shown not in {None, True, False}
    return f"{option.help} Default: {shown}." if known else str(option.help)


def _item(word: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_plain(word)}\fP"
    yield from _prose(meaning)


def _see_also(*pages: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield ", ".join(re.sub(r"(.*)(\(\d\))", r"\\fB\1\\fP\2", _plain(page)) for page in pages)


def _prose(text: str) -> Iterator[str]:
    yield _marked(" ".join(text.split()))


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fP", _plain(text))


def _plain(text: str) -> str:
    """A text as roff shows it unchanged."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return rf"\&{text}" if text.startswith(".") else text


def main() -> None:
    """Write them."""
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
