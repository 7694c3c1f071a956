"""`xengt handle` against the published encoding of fast maptrack entries."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.unit import schemas
from xengt.cli import app
from xengt.errors import UnmetError
from xengt.xen.handle import (
    DOMID_FIRST_RESERVED,
    DOMID_MAX,
    GREF_MAX,
    INVALID,
    build,
    fast_handle,
    split,
)


@given(st.integers(0, DOMID_MAX), st.integers(0, GREF_MAX))
def test_split_decodes_what_build_encodes(domid: int, gref: int) -> None:
    if (domid, gref) == (DOMID_MAX, GREF_MAX):
        return  # the one handle that means "invalid": refused below
    built = build(domid, gref)
    assert (built.kind, built.domid, built.gref) == ("fast", domid, gref)
    assert built.value >> 31 == 1
    assert split(built.value) == built


@given(st.integers(0, INVALID))
def test_every_32_bit_value_is_a_handle_of_exactly_one_kind(value: int) -> None:
    handle = split(value)
    if handle.kind == "fast":
        assert build(handle.domid or 0, handle.gref or 0).value == value
    elif handle.kind == "slow":
        assert (handle.index, handle.domid) == (value, None)
    else:
        assert value == INVALID


def test_the_example_handle_of_the_proposal_is_decoded() -> None:
    handle = split(0x80010008)
    assert (handle.kind, handle.domid, handle.gref) == ("fast", 1, 8)


def test_handles_of_stock_xen_are_slow() -> None:
    assert split(0x12).index == 0x12
    assert split(0x7FFFFFFF).kind == "slow"


@pytest.mark.parametrize(
    ("domid", "gref", "message"),
    [
        (0x8000, 0, "15 bits"),
        (-1, 0, "15 bits"),
        (1, -1, "not a grant reference"),
        (1, 65_536, "tracked with slow entries"),
        (0x7FFF, 0xFFFF, "invalid handle"),
    ],
)
def test_build_rejects_references_without_a_fast_handle(
    domid: int, gref: int, message: str
) -> None:
    with pytest.raises(UnmetError, match=message) as error:
        build(domid, gref)
    assert error.value.remedy


@pytest.mark.parametrize(
    ("domid", "gref", "value"),
    [
        (0, 8, 0x80000008),
        (7, 65_535, 0x8007FFFF),
        (7, 65_536, None),
        (7, 0xFFFF_FFFF, None),
        (DOMID_MAX, GREF_MAX, None),
        (DOMID_MAX, GREF_MAX - 1, 0xFFFF_FFFE),
    ],
)
def test_fast_handle_of_a_reference_or_none(domid: int, gref: int, value: int | None) -> None:
    assert fast_handle(domid, gref) == value
    if value is not None:
        assert (split(value).domid, split(value).gref) == (domid, gref)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_split_rejects_values_beyond_32_bits(value: int) -> None:
    with pytest.raises(UnmetError, match="32 bits"):
        split(value)


def test_reserved_domids_are_named() -> None:
    assert split(build(DOMID_FIRST_RESERVED, 1).value).reserved == "DOMID_SELF"
    assert split(build(0x7FF7, 1).value).reserved == "reserved"
    assert split(build(DOMID_FIRST_RESERVED - 1, 1).value).reserved is None


@pytest.mark.parametrize("spelling", ["0x80010008", "2147549192", "0X80010008"])
def test_the_command_reads_hex_and_decimal(spelling: str) -> None:
    done = CliRunner().invoke(app, ["handle", spelling])
    assert done.exit_code == 0
    assert done.stdout == "0x80010008  fast: granter domid 1, reference 8\n"


VALIDATOR = schemas.validator("handle")


def run_json(*arguments: str) -> dict[str, Any]:
    """Run the command with --json, and validate the document it prints."""
    done = CliRunner().invoke(app, ["handle", *arguments, "--json"])
    document: dict[str, Any] = json.loads(done.stdout)
    VALIDATOR.validate(document)
    return document


@pytest.mark.parametrize(
    "value",
    ["0", "17", "0x7fffffff", "0x80010008", "0xfff00001", "0xffefffff", "0xfffffffe", "0xffffffff"],
)
def test_the_json_of_every_kind_of_handle_follows_the_schema(value: str) -> None:
    assert run_json(value)["value"] == int(value, 0)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("value", 1 << 32), ("kind", "quick"), ("gref", 65_536), ("reserved", 0), ("more", 1)],
)
def test_the_schema_rejects_wrong_values_and_unknown_keys_of_a_handle(
    key: str, wrong: object
) -> None:
    assert not VALIDATOR.is_valid(run_json("0x80010008") | {key: wrong})


def test_the_command_prints_a_built_handle_as_json() -> None:
    assert run_json("--domid", "1", "--gref", "0x8") == {
        "schema": "xengt.handle/1",
        "handle": "0x80010008",
        "value": 0x80010008,
        "kind": "fast",
        "domid": 1,
        "gref": 8,
        "index": None,
        "reserved": None,
    }


@pytest.mark.parametrize(
    ("arguments", "description"),
    [
        (["0xffffffff"], "invalid"),
        (["17"], "slow: entry 17 of the mapper's maptrack table"),
        (["0xfff00001"], "DOMID_SELF, a reserved domid"),
    ],
)
def test_the_command_describes_invalid_slow_and_reserved_handles(
    arguments: list[str], description: str
) -> None:
    assert description in CliRunner().invoke(app, ["handle", *arguments]).stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["12", "--gref", "1"], ["--domid", "1"], ["eight"], ["--domid", "1", "--gref", "65536"]],
)
def test_invalid_arguments_exit_with_2_and_print_a_remedy(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["handle", *arguments])
    assert done.exit_code == 2
    assert done.output.startswith("xengt: ")
    assert len(done.output.splitlines()) == 2
