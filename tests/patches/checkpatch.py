"""What a patch for Xen or for Linux has to look like, whatever it does."""

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import Message

BODY_WIDTH = 75

SENDER = re.compile(r"xengt developers <xengt@(localhost|\S+\.invalid)>")
SUBJECT = re.compile(r"(\[PATCH(?: (\d+)/(\d+))?\] )?([a-z0-9_/,.-]+: )+\S.*[^.\s]", re.IGNORECASE)
#: whoever sends it signs it, and whoever reviewed it says so
TRAILER = re.compile(r"^(\w+-)+by:", re.MULTILINE | re.IGNORECASE)
PLACE = re.compile(r"(?<![\w/])/(?:work|root|home|tmp|build|bench)/|~/\w")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)*")
#: a host name is one by its ending, or by what stands before it
HOST = re.compile(r"https?://([^/\s]+)")
PUBLIC = re.compile(r"(\S+\.)?(xen|xenproject|kernel)\.org")

C_FILE = re.compile(r"\.[ch]$")


@dataclass(frozen=True)
class Style:
    """How a project writes C.

    Attributes:
        name: whose it is.
        width: columns of a line.
        blank: what there must not be of blanks and tabs, and what that is called.
        keyword: what it writes in another way, at the begin of a line and so not in a sentence.
    """

    name: str
    width: int
    blank: tuple[re.Pattern[str], str]
    keyword: re.Pattern[str]


#: CODING_STYLE: less than 80 characters, no tab, `if ( x )`
XEN = Style(
    "Xen",
    79,
    (re.compile(r"\t"), "a tab"),
    re.compile(r"\s*(if|for|while|switch) ?\((?![\s ])|\s*(if|for|while|switch)\(|\s*} *else"),
)
#: Documentation/process/coding-style.rst: 80 columns, tabs of 8, `if (x)`, `} else {`
LINUX = Style(
    "Linux",
    80,
    (re.compile(r"^\t* {8}"), "blanks for a tab"),
    re.compile(r"\s*(} ?)?(if|for|while|switch)(\(| \( )|\s*}else|\s+{$"),
)


def flaws(text: str, position: int, length: int, style: Style = XEN) -> Iterator[str]:
    """Say what is wrong with a patch.

    Args:
        text: of the file.
        position: which of its series it is, from 1.
        length: of the series.
        style: of what it is for.
    """
    message = email.message_from_string(text)
    body, _, diff = text.partition("\ndiff --git ")
    yield from _of_header(message, position, length)
    yield from _of_body(message)
    # git's own words stand where a mail says when it was sent and from which commit.
    for pattern, what in ((PLACE, "a place of one machine"),):
        yield from (f"{what}: {found[0]}" for found in pattern.finditer(text))
    for found in ADDRESS.finditer(body):
        if not SENDER.search(f"xengt developers <{found[0]}>"):
            yield f"an address: {found[0]}"
    # What a hunk shows around the change was there before.
    added = "\n".join(line for line in diff.splitlines() if line.startswith("+"))
    for found in HOST.finditer(f"{body}\n{added}"):
        if not PUBLIC.fullmatch(found[1]):
            yield f"a host: {found[1]}"
    if not diff:
        yield "no diff --git in it"
    if "\r" in text or not text.endswith("\n"):
        yield "not lines that end as Unix's do"
    yield from _of_diff(text, style)


def _of_header(message: Message, position: int, length: int) -> Iterator[str]:
    if not SENDER.fullmatch(message["From"] or ""):
        yield f"From: {message['From']}"
    subject = re.sub(r"\s*\n\s*", " ", str(make_header(decode_header(message["Subject"] or ""))))
    found = SUBJECT.fullmatch(subject)
    if found is None:
        yield f"no `component: what it does` is the subject: {subject}"
        return
    if found[2] and (int(found[2]), int(found[3])) != (position, length):
        yield f"the subject counts {found[2]}/{found[3]}, it is {position} of {length}"
    if len(subject.removeprefix(found[1] or "")) > BODY_WIDTH:
        yield f"the subject is longer than {BODY_WIDTH}"


def _of_body(message: Message) -> Iterator[str]:
    said = re.split(r"^---$", str(message.get_payload()), maxsplit=1, flags=re.MULTILINE)[0]
    if not said.strip():
        yield "it does not say why"
    for line in said.splitlines():
        if len(line) > BODY_WIDTH:
            yield f"{len(line)} columns of {BODY_WIDTH}: {line}"
    yield from (f"a trailer: {found[0]}" for found in TRAILER.finditer(said))


def _of_diff(text: str, style: Style) -> Iterator[str]:
    name = ""
    for line in text.partition("\ndiff --git ")[2].splitlines():
        if line.startswith("+++ "):
            name = line.removeprefix("+++ b/")
        elif line.startswith("+"):
            yield from (f"{name}: {what}: {line}" for what in _of_line(line[1:], name, style))


def _of_line(line: str, name: str, style: Style) -> Iterator[str]:
    if line != line.rstrip():
        yield "white space at the end"
    if C_FILE.search(name):
        blank, what = style.blank
        if blank.search(line):
            yield what
        # A message stays in one piece, so that it can be searched for.
        if len(line.expandtabs(8)) > style.width and '"' not in line:
            yield f"longer than {style.width}"
        if style.keyword.match(line):
            yield f"not in {style.name}'s style"
