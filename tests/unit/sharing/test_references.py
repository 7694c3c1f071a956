"""Publications: written, read back, and read when they are malformed or hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.xenstored import WRITE, FakeXenstored
from xengt.errors import UnmetError
from xengt.sharing.publication import (
    CHUNK_BYTES,
    Publication,
    publication_directory,
    publish,
    read_publication,
    withdraw,
)
from xengt.sharing.references import MAX_REFERENCES, format_grefs, parse_grefs, pattern, stamp
from xengt.xen.xenstore import XenStore

GREFS = st.lists(st.integers(0, 0xFFFFFFFF), unique=True)


@pytest.fixture
def daemon(tmp_path):
    daemon = FakeXenstored(tmp_path / "socket")
    yield daemon
    daemon.stop()


@pytest.fixture
def store(daemon):
    with XenStore(daemon.path) as store:
        yield store


def publication(grefs, **changed):
    facts = {"granter": 7, "mapper": 0, "grefs": tuple(grefs), "writable": True, "pid": 412}
    return Publication(**(facts | changed))


def test_references_are_formatted_as_ranges_and_parsed():
    assert format_grefs([*range(8, 264), 300]) == "8-263,300"
    assert format_grefs([5, 4, 3]) == "5,4,3"
    assert parse_grefs("8-10,300") == [8, 9, 10, 300]
    assert format_grefs([]) == ""
    assert parse_grefs("") == []


@given(GREFS)
def test_parsing_formatted_references_keeps_their_order(grefs):
    assert parse_grefs(format_grefs(grefs)) == grefs


@given(st.integers(0, 0xFFFF0000), st.integers(1, 5000))
def test_consecutive_references_are_one_range(first, count):
    text = format_grefs(range(first, first + count))
    assert "," not in text
    assert parse_grefs(text) == list(range(first, first + count))


@pytest.mark.parametrize(
    ("text", "grefs"),
    [
        ("0x1a3", [0x1A3]),
        ("0X1A3,300", [0x1A3, 300]),
        ("0x8-0xa", [8, 9, 10]),
        ("8-0xa", [8, 9, 10]),
        ("0xffffffff", [0xFFFFFFFF]),
    ],
)
def test_hexadecimal_references_are_accepted_as_the_kernel_logs_them(text, grefs):
    assert parse_grefs(text) == grefs


@pytest.mark.parametrize(
    "text",
    ["x", "8-", "-8", "9-8", "8,,9", "8-9-10", " 8", "8 ", "+8", "8.0", "0x", "0xg", "1a3",
     "x1a3", "0x-8", "٣", "8,8", "8-10,9",
     "4294967296", "0x100000000", "99999999999", "0-4294967295", f"0-{MAX_REFERENCES}"],
)  # fmt: skip
def test_text_that_is_not_a_list_of_references_is_rejected(text):
    with pytest.raises(ValueError, match="reference"):
        parse_grefs(text)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_rejected(text):
    try:
        grefs = parse_grefs(text)
    except ValueError:
        return
    assert len(grefs) <= MAX_REFERENCES
    assert parse_grefs(format_grefs(grefs)) == grefs


@given(
    st.tuples(st.integers(0, 0x7FFF), st.integers(0, 0xFFFFFFFF)),
    st.tuples(st.integers(0, 0x7FFF), st.integers(0, 0xFFFFFFFF)),
)
def test_patterns_are_equal_only_for_equal_references(one, other):
    assert (pattern(*one) == pattern(*other)) == (one == other)
    assert 0 < pattern(*one) < (1 << 64) - 1


def test_stamp_writes_only_the_first_and_last_8_bytes():
    page = bytearray(4096)
    stamp(memoryview(page), 7, 0x123)
    assert page[:8] == page[-8:] == b"\x23\x01\x00\x00\x73gnx"  # 0x74 ^ 7
    assert bytes(page[8:-8]) == bytes(4080)


@pytest.mark.parametrize("writable", [True, False])
def test_a_publication_is_read_back(store, writable):
    scattered = publication(range(9, 9001, 9), writable=writable)
    publish(store, scattered)
    assert read_publication(store, 7, 0) == scattered
    assert read_publication(store, 7, 3) is None
    assert read_publication(store, 8, 0) is None


def test_no_value_exceeds_the_limit_of_xenstore(store, daemon):
    publish(store, publication(range(10_000, 40_000, 2)))
    chunks = [v for n, v in daemon.nodes.items() if "/references/" in n]
    assert len(chunks) > 1
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)
    assert read_publication(store, 7, 0).grefs == tuple(range(10_000, 40_000, 2))


def test_references_of_a_publication_have_domain_and_pattern():
    assert publication([8, 300]).references == [(7, 8, pattern(7, 8)), (7, 300, pattern(7, 300))]


def test_the_state_is_written_last_and_removed_first(store, daemon):
    requests = []
    daemon.before_request = lambda operation, path: requests.append((operation, path))
    publish(store, publication([8]))
    written = [path for operation, path in requests if operation == WRITE]
    assert written[-1] == f"{publication_directory(7, 0)}/state"
    requests.clear()
    withdraw(store, 7, 0)
    assert requests[0][1] == f"{publication_directory(7, 0)}/state"


def test_withdraw_removes_one_publication_and_empty_directories(store, daemon):
    before = dict(daemon.nodes)
    store.write("/local/domain/7/data", "")
    publish(store, publication([8]))
    publish(store, publication([9], mapper=3))
    withdraw(store, 7, 0)
    assert read_publication(store, 7, 0) is None
    assert read_publication(store, 7, 3).grefs == (9,)
    withdraw(store, 7, 3)
    withdraw(store, 7, 3)
    remaining = {n for n in daemon.nodes if n not in before}
    assert remaining == {"/local", "/local/domain", "/local/domain/7", "/local/domain/7/data"}


def test_withdraw_removes_the_empty_data_directory_of_dom0(store, daemon):
    store.write("/local/domain/0/name", "Domain-0")
    before = dict(daemon.nodes)
    publish(store, publication([8], granter=0))
    withdraw(store, 0, 0)
    assert daemon.nodes == before


def test_publishing_again_replaces_every_chunk(store):
    publish(store, publication(range(10_000, 40_000, 2)))
    publish(store, publication([8]))
    assert read_publication(store, 7, 0) == publication([8])
    assert store.children(f"{publication_directory(7, 0)}/references") == ["0"]


def test_an_incomplete_publication_is_not_ready_instead_of_malformed(store):
    store.write(f"{publication_directory(7, 0)}/pages", "2")
    with pytest.raises(UnmetError, match="not ready"):
        read_publication(store, 7, 0)


def test_a_publication_replaced_during_the_read_is_not_ready(store, daemon):
    publish(store, publication([8]))

    def vanish(_operation, path):
        if path.endswith("/pid"):
            daemon.nodes.pop(f"{publication_directory(7, 0)}/state", None)

    daemon.before_request = vanish
    with pytest.raises(UnmetError, match="not ready"):
        read_publication(store, 7, 0)


@pytest.mark.parametrize(
    ("node", "value", "what"),
    [
        ("state", "starting", "not ready"),
        ("pages", "-1", "pages is"),
        ("pages", "9" * 4000, "pages is"),
        ("pages", str(MAX_REFERENCES + 1), "pages is"),
        ("pages", "3", "2 references for 3 pages"),
        ("pages", "1", "2 references exceed the limit of 1"),
        ("references/0", "8,8", "twice"),
        ("references/0", "0-4294967295", "exceed the limit"),
        ("references/0", "ü" * 2000, "not a range"),
        ("writable", "yes", "writable is 'yes'"),
        ("pid", "", "pid is ''"),
    ],
)
def test_a_malformed_node_is_rejected_by_name(store, node, value, what):
    publish(store, publication([8, 9]))
    store.write(f"{publication_directory(7, 0)}/{node}", value)
    with pytest.raises(UnmetError, match=what) as caught:
        read_publication(store, 7, 0)
    assert "domain 7" in caught.value.what
    assert len(caught.value.what) < 200
    assert "xenstore-ls /local/domain/7/data/xengt/share/0" in caught.value.remedy


def test_a_reference_in_two_chunks_is_rejected(store):
    publish(store, publication([8, 9]))
    store.write(f"{publication_directory(7, 0)}/references/0", "8")
    store.write(f"{publication_directory(7, 0)}/references/1", "8")
    with pytest.raises(UnmetError, match="1 references for 2 pages"):
        read_publication(store, 7, 0)


@given(st.dictionaries(st.sampled_from(["pages", "references/0", "references/1", "writable",
                                        "pid", "state"]), st.binary(max_size=300)))  # fmt: skip
def test_a_hostile_publication_is_read_or_rejected(nodes):
    class Store:
        def read(self, path):
            value = nodes.get(path.removeprefix(f"{publication_directory(7, 0)}/"))
            return None if value is None else value.decode(errors="replace")

        def exists(self, _path):
            return True

    try:
        grefs = read_publication(Store(), 7, 0).grefs
    except UnmetError:
        return
    assert len(set(grefs)) == len(grefs) <= MAX_REFERENCES
