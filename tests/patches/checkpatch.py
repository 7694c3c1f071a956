"""Checks the form of patches for Xen and Linux."""

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import Message

BODY_WIDTH = 75

SENDER = re.compile(r"xengt developers <xengt@(localhost|\S+\.invalid)>")
SUBJECT = re.compile(r"(\[PATCH(?: (\d+)/(\d+))?\] )?([a-z0-9_/,.-]+: )+\S.*[^.\s]", re.IGNORECASE)
#: the sender and reviewers add these
TRAILER = re.compile(r"^(\w+-)+by:", re.MULTILINE | re.IGNORECASE)
LOCAL_PATH = re.compile(r"(?<![\w/])/(?:work|root|home|tmp|build|bench)/|~/\w")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)*")
#: host name of a URL
HOST = re.compile(r"https?://([^/\s]+)")
PUBLIC = re.compile(r"(\S+\.)?(xen|xenproject|kernel)\.org")

C_FILE = re.compile(r"\.[ch]$")


@dataclass(frozen=True)
class Style:
    """Coding style of a project.

    Attributes:
        name: of the project, for messages.
        width: maximum number of columns.
        blank: forbidden white space, and its description for messages.
        keyword: forbidden form of a control statement, at the beginning of a line so that comments
            do not match.
    """

    name: str
    width: int
    blank: tuple[re.Pattern[str], str]
    keyword: re.Pattern[str]


#: Xen's CODING_STYLE: less than 80 characters, no tab, `if ( x )`
XEN = Style(
    "Xen",
    79,
    (re.compile(r"\t"), "a tab"),
    re.compile(r"\s*(if|for|while|switch) ?\((?![\s ])|\s*(if|for|while|switch)\(|\s*} *else"),
)
#: Linux's Documentation/process/coding-style.rst: 80 columns, tabs of 8, `if (x)`, `} else {`
LINUX = Style(
    "Linux",
    80,
    (re.compile(r"^\t* {8}"), "spaces instead of a tab"),
    re.compile(r"\s*(} ?)?(if|for|while|switch)(\(| \( )|\s*}else|\s+{$"),
)


def problems(text: str, position: int, length: int, style: Style = XEN) -> Iterator[str]:
    """Yield a description of each problem of a patch.

    Args:
        text: content of the file.
        position: number of the patch in its series, from 1.
        length: number of patches in the series.
        style: coding style of the project.
    """
    message = email.message_from_string(text)
    body, _, diff = text.partition("\ndiff --git ")
    yield from _header_problems(message, position, length)
    yield from _body_problems(message)
    yield from (f"local path: {found[0]}" for found in LOCAL_PATH.finditer(text))
    for found in ADDRESS.finditer(body):
        if not SENDER.search(f"xengt developers <{found[0]}>"):
            yield f"e-mail address: {found[0]}"
    # Context lines are not the patch's.
    added = "\n".join(line for line in diff.splitlines() if line.startswith("+"))
    for found in HOST.finditer(f"{body}\n{added}"):
        if not PUBLIC.fullmatch(found[1]):
            yield f"host name: {found[1]}"
    if not diff:
        yield "no diff --git line"
    if "\r" in text or not text.endswith("\n"):
        yield "line endings are not LF, or the last one is missing"
    yield from _diff_problems(text, style)


def _header_problems(message: Message, position: int, length: int) -> Iterator[str]:
    if not SENDER.fullmatch(message["From"] or ""):
        yield f"From: {message['From']}"
    subject = re.sub(r"\s*\n\s*", " ", str(make_header(decode_header(message["Subject"] or ""))))
    found = SUBJECT.fullmatch(subject)
    if found is None:
        yield f"subject is not `component: description` without a period: {subject}"
        return
    if found[2] and (int(found[2]), int(found[3])) != (position, length):
        yield f"subject has {found[2]}/{found[3]}, but the patch is {position} of {length}"
    if len(subject.removeprefix(found[1] or "")) > BODY_WIDTH:
        yield f"subject is longer than {BODY_WIDTH} columns"


def _body_problems(message: Message) -> Iterator[str]:
    body = re.split(r"^---$", str(message.get_payload()), maxsplit=1, flags=re.MULTILINE)[0]
    if not body.strip():
        yield "no commit message"
    for line in body.splitlines():
        if len(line) > BODY_WIDTH and not line.startswith("Fixes: "):
            yield f"{len(line)} columns, more than {BODY_WIDTH}: {line}"
    yield from (f"trailer: {found[0]}" for found in TRAILER.finditer(body))


def _diff_problems(text: str, style: Style) -> Iterator[str]:
    name = ""
    for line in text.partition("\ndiff --git ")[2].splitlines():
        if line.startswith("+++ "):
            name = line.removeprefix("+++ b/")
        elif line.startswith("+"):
            yield from (
                f"{name}: {problem}: {line}" for problem in _line_problems(line[1:], name, style)
            )


def _line_problems(line: str, name: str, style: Style) -> Iterator[str]:
    if line != line.rstrip():
        yield "trailing white space"
    if C_FILE.search(name):
        blank, description = style.blank
        if blank.search(line):
            yield description
        # Message strings are not split, so that they can be found by grep.
        if len(line.expandtabs(8)) > style.width and '"' not in line:
            yield f"longer than {style.width} columns"
        if style.keyword.match(line):
            yield f"not in {style.name}'s style"
