#!/usr/bin/env python3
"""Writes the man pages in this directory from the help texts of xengt and from serve.toml.

Run it (with xengt importable) after a change to a command, an option or serve.toml;
tests/unit/deploy/test_debian.py fails until then.
"""

import re
import textwrap
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from typer.main import get_command

from xengt.cli import app
from xengt.errors import Exit
from xengt.recovery import journal

#: the options of every command
HELP: list[str] = app.info.context_settings["help_option_names"]
#: the options that typer adds, whose own texts change with its version
COMPLETION = {
    "install_completion": "Install completion of commands and options for the user's shell. The"
    " Debian package has it for bash, zsh and fish.",
    "show_completion": "Print the completion script of the user's shell and exit.",
}
HERE = Path(__file__).parent
CONFIG = "/etc/xengt/serve.toml"

EXIT_STATUS = {
    Exit.DONE: "Success.",
    Exit.BEYOND_BOUND: "A result is beyond a bound: `xengt compare --at-most` found a ratio above"
    " the bound or a pair without a ratio, or `xengt plan` found a limit that is too small.",
    Exit.UNMET: "An option or the configuration is invalid, or a prerequisite is missing.",
    Exit.FAILED: "The command failed while running. An unexpected exception, which is a defect, is"
    " named in one line; `XENGT_TRACEBACK=1` in the environment prints its traceback.",
    Exit.HANGUP: "SIGHUP interrupted the command, which cleaned up. `share`, `map --wait` and"
    " `usage --watch` exit with 0, and `serve` reads its file again instead.",
    Exit.INTERRUPTED: "Ctrl-C (SIGINT) interrupted the command, which cleaned up. Commands that run"
    " until a signal, such as `serve`, exit with 0.",
    Exit.OUTPUT_CLOSED: "The reader of standard output closed it, as head(1) does.",
    Exit.TERMINATED: "SIGTERM interrupted the command, which cleaned up. Commands that run until a"
    " signal, such as `serve`, exit with 0.",
}

WEB_CONFIGURATION = """\
The file that `listen.web_config` names has the format of exporter-toolkit
(docs/web-configuration.md there), which all exporters of Prometheus share. It requires the Python
module yaml (Debian: python3-yaml), and bcrypt (python3-bcrypt) for passwords.

Supported are, of `tls_server_config`: cert_file, key_file, client_auth_type (NoClientCert,
VerifyClientCertIfGiven, RequireAndVerifyClientCert), client_ca_file, client_allowed_sans,
min_version and max_version (TLS12, TLS13); of `http_server_config`: headers; `basic_auth_users`.
Relative paths are relative to the directory of the file. A key that is not supported is an error,
because the connection would be less protected than intended; http2 and
prefer_server_cipher_suites are accepted and have no effect.

Certificates, keys and CA certificates that are replaced on disk are used at the next TLS
handshake. While they do not fit together, the previous ones stay in use. Other changes of the
file take effect on SIGHUP.

The keys certificate, key and client_ca of `[listen]` are deprecated: this version still reads
them, and logs a warning. They correspond to cert_file, key_file and client_ca_file with
client_auth_type: RequireAndVerifyClientCert.

Example:"""
WEB_EXAMPLE = """\
tls_server_config:
  cert_file: tls.crt
  key_file: tls.key
basic_auth_users:
  # htpasswd -nB prometheus
  prometheus: $2y$10$..."""


def pages() -> dict[str, str]:
    """Return file name → content of all man pages."""
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
        "Most commands run as root in a Xen dom0; `xengt check` reports missing prerequisites."
        " `xengt bench` and `xengt serve` map only pages that they create or that `xengt share`"
        " grants; `xengt map` maps the references that it is given. After a killed run, the next"
        " `xengt bench` or round of the agent's probe removes its domains and mappings; only some"
        " mappings whose grant was revoked meanwhile or that have a bus address of their own cannot"
        " be found."
    )
    yield ".SH OPTIONS"
    for option in program.params:
        if option.name not in COMPLETION:
            yield from _option(option)
    for name, text in COMPLETION.items():
        yield from _item(f"--{name.replace('_', '-')}", text)
    yield from _item(", ".join(HELP), "Print help, also after a COMMAND, and exit.")
    yield ".SH COMMANDS"
    for name, command in program.commands.items():
        yield from _command(name, command)
    yield ".SH EXIT STATUS"
    for code in Exit:
        yield from _item(str(int(code)), EXIT_STATUS[code])
    yield ".SH FILES"
    yield from _item(CONFIG, "Configuration of xengt.service.")
    yield from _item(
        str(journal.PATH),
        "Journal of outstanding mappings, used to clean up after an interrupted run.",
    )
    yield from _see_also("xengt-serve.toml(5)", "xl(1)")


def _configuration() -> Iterator[str]:
    yield from _head("xengt-serve.toml", 5, "File Formats", "Configuration of `xengt serve`.")
    yield rf".I {_escaped(CONFIG)}"
    yield ".SH DESCRIPTION"
    yield from _prose(
        "A TOML file that `xengt serve --config` reads when it starts and on SIGHUP. If the file is"
        " invalid, or names a file, an address or a port that cannot be used, the agent exits with"
        " status 2 at the start, and continues unchanged on SIGHUP. In both cases, a message says"
        " which key is wrong, or why the file cannot be read. `xengt serve --dry-run` detects the"
        " same without listening, except a port in use, and also a certificate that has expired."
    )
    yield ".PP"
    yield from _prose(
        "An address that this host does not have when the agent starts may appear later, for"
        " example with a bridge: the agent then tries to listen at least every 30 seconds, and"
        " `systemctl status` and the log show what it waits for."
    )
    yield ".PP"
    yield from _prose(
        "After SIGHUP, counters and histograms continue. Only what the configuration removes"
        " disappears from the page. The metric xengt_config_last_reload_successful is 0 after a"
        " reload that failed, until one succeeds, and"
        " xengt_config_last_reload_success_timestamp_seconds has the time of the last one that"
        " succeeded."
    )
    yield ".PP"
    yield from _prose("All keys, with their defaults or with examples:")
    yield ".PP"
    yield ".EX"
    yield from map(_escaped, (HERE / "serve.toml").read_text(encoding="utf-8").splitlines())
    yield ".EE"
    yield ".SH WEB CONFIGURATION"
    for number, paragraph in enumerate(WEB_CONFIGURATION.split("\n\n")):
        if number:
            yield ".PP"
        yield from _prose(paragraph)
    yield ".PP"
    yield ".EX"
    yield from map(_escaped, WEB_EXAMPLE.splitlines())
    yield ".EE"
    yield from _see_also("xengt(1)", "systemctl(1)")


def _head(name: str, section: int, manual: str, summary: str) -> Iterator[str]:
    yield rf".\" Generated by {Path(__file__).name}: do not edit."
    yield f'.TH {_escaped(name.upper())} {section} "{_date()}" xengt "{manual}"'
    yield ".SH NAME"
    yield rf"{_escaped(name)} \- {_formatted(summary[0].lower() + summary[1:].rstrip('.'))}"
    yield ".SH SYNOPSIS"


def _date() -> str:
    """Return the date of the newest version in the changelog."""
    newest = re.search(r"^ -- .*>  (.*)$", (HERE / "changelog").read_text("utf-8"), re.MULTILINE)
    if newest is None:
        raise ValueError(f"{HERE / 'changelog'} has no line that begins with ' -- '")
    return f"{parsedate_to_datetime(newest[1]):%Y-%m-%d}"


def _command(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 (typer carries its own click)
    options = [each for each in command.params if each.opts[0].startswith("-")]
    operands = [each for each in command.params if each not in options]
    words = [f"xengt {name}", r"[\fIOPTION\fP]...", *map(_operand, operands)]
    yield f'.SS "{" ".join(words)}"'
    for number, paragraph in enumerate(re.split(r"\n\n+", command.help.strip())):
        text, _, example = paragraph.partition("Example: ")
        if number:
            yield ".PP"
        if text:
            yield from _prose(paragraph)
        else:
            yield "Example:"
            yield ".PP"
            yield ".EX"
            yield "    " + _escaped(" ".join(example.split()))
            yield ".EE"
    for each in operands:
        yield from _item(_metavar(each), each.help)
    for each in options:
        yield from _option(each)


def _option(option: Any) -> Iterator[str]:  # noqa: ANN401
    term = ", ".join(option.opts)
    if not option.is_flag:
        metavar = _metavar(option)
        term += metavar if metavar.startswith("[=") else f" {metavar}"
    yield from _item(term, _description(option))


def _operand(operand: Any) -> str:  # noqa: ANN401
    word = rf"\fI{_escaped(_metavar(operand))}\fP"
    if operand.nargs == -1 and not word.endswith(r"...\fP"):
        word += "..."
    return word if operand.required else f"[{word}]"


def _metavar(parameter: Any) -> str:  # noqa: ANN401
    return str(parameter.metavar or parameter.name.upper().replace("_", "-"))


def _description(option: Any) -> str:  # noqa: ANN401
    default = option.show_default
    if default is True and not option.is_flag and isinstance(option.default, int | float | str):
        default = option.default
    if default is None or isinstance(default, bool):
        return str(option.help)
    return f"{option.help} Default: {default}."


def _item(term: str, description: str) -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_escaped(term)}\fP"
    yield from _prose(description)


def _see_also(*pages: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield ", ".join(re.sub(r"(.*)(\(\d\))", r"\\fB\1\\fP\2", _escaped(page)) for page in pages)


def _prose(text: str) -> Iterator[str]:
    """Yield lines of at most 80 bytes, which `mandoc -Tlint` requires."""
    wrapped = textwrap.wrap(
        _formatted(" ".join(text.split())), 80, break_long_words=False, break_on_hyphens=False
    )
    # roff would read a dot at the beginning of a line as a request.
    yield from (rf"\&{line}" if line.startswith(".") else line for line in wrapped)


def _formatted(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fP", _escaped(text))


def _escaped(text: str) -> str:
    """Escape a text for roff."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return rf"\&{text}" if text.startswith(".") else text


def main() -> None:
    """Write all man pages."""
    for name, content in pages().items():
        (HERE / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
