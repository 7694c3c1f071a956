"""Names of domains as printable text: every character, and every way to type it."""

import itertools
import unicodedata

import pytest

from tests.unit.xenstored import FakeXenstored
from xengt.xen.domain_name import printable, typed
from xengt.xen.xenstore import XenStore

CASES = [
    (b"web-1", "web-1"),
    ("Zürich, 東京 🚀".encode(), "Zürich, 東京 🚀"),
    (b"\"quoted\" <b>'it'</b> [red]", "\"quoted\" <b>'it'</b> [red]"),
    (b"\x1b[2Jweb", r"\x1b[2Jweb"),
    (b"web\n0  Domain-0\tx\r", r"web\x0a0  Domain-0\x09x\x0d"),
    ("gpj.\u202eexe".encode(), r"gpj.\u202eexe"),
    ("a\u2028b\u200bc\x9bd".encode(), r"a\u2028b\u200bc\u009bd"),
    ("tag \U000e0041".encode(), r"tag \U000e0041"),
    (b"\xff\xfe\x9b", r"\xff\xfe\x9b"),
    ("\ud800".encode(errors="surrogatepass"), r"\xed\xa0\x80"),
    (b"back\\slash \\x1b", r"back\\slash \\x1b"),
    (b"", ""),
]


@pytest.mark.parametrize(("name", "shown"), CASES)
def test_what_cannot_be_printed_is_escaped(name, shown):
    assert printable(name) == shown
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_different_names_are_printed_differently():
    pieces = (
        b"\\",
        b"x1b",
        b"\x1b",
        b"\xff",
        b"u202e",
        "\u202e".encode(),
        "\x9b".encode(),
        b"\x9b",
    )
    names = {
        b"".join(each) for length in range(4) for each in itertools.product(pieces, repeat=length)
    }
    assert len({printable(name) for name in names}) == len(names)


def test_no_character_reaches_the_output_that_changes_what_is_around_it():
    codes = (*range(0x11000), *range(0xE0000, 0xE1000))
    every = "".join(map(chr, codes)).encode(errors="surrogatepass")
    categories = {unicodedata.category(each) for each in set(printable(every))}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(("name", "shown"), CASES)
def test_a_domain_is_found_by_its_name_and_by_the_text_printed_for_it(tmp_path, name, shown):
    daemon = FakeXenstored(tmp_path / "socket")
    daemon.nodes["/local/domain/7/name"] = name
    with XenStore(daemon.path) as store:
        assert store.name_of(7) == shown
        argument = name.decode(errors="surrogateescape")  # as Python decodes arguments
        assert {store.domid_of(each) for each in (argument, shown, typed(argument))} == {7}
    daemon.stop()
