"""Options of several values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengt.bench.case import DECLARED
from xengt.bench.dimension import integer, one_of, positive
from xengt.cli import option_values
from xengt.errors import Exit, UnmetError

GRANTER = DECLARED["granter"].parse


def read(*given, by=integer(0)):  # noqa: B008 (it makes a pure function)
    return option_values.several("--batch", given, by)


def test_commas_and_repeats_are_one_list():
    assert read("1,32", "8", "4 , 2") == [1, 32, 8, 4, 2]


def test_a_value_given_twice_counts_once_where_it_stood_first():
    assert read("8,1", "8", "01,2") == [8, 1, 2]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30), st.data())
def test_however_they_are_grouped(numbers, data):
    words, group = [], []
    for number in numbers:
        group.append(str(number))
        if data.draw(st.booleans()):
            words, group = [*words, ",".join(group)], []
    words += [",".join(group)] if group else []
    assert read(*words) == list(dict.fromkeys(numbers))


@pytest.mark.parametrize(
    ("word", "by", "expected"),
    [
        ("0", integer(1, 512), "expected a whole number from 1 to 512"),
        ("513", integer(1, 512), "expected a whole number from 1 to 512"),
        ("x", integer(1), "expected a whole number of at least 1"),
        ("-1", integer(0), "expected a whole number of at least 0"),
        ("1.5", integer(0), "expected a whole number of at least 0"),
        ("", integer(0), "expected a whole number of at least 0"),
        ("0", positive, "expected a number above 0"),
        ("-2", positive, "expected a number above 0"),
        ("nan", positive, "expected a number above 0"),
        ("inf", positive, "expected a number above 0"),
        ("fast", positive, "expected a number above 0"),
        ("no?", one_of("no", "yes"), "expected one of no, yes"),
        (
            "guest:",
            GRANTER,
            "expected empty, self, guest, guest:NAME, guest:DOMID or guest:UUID",
        ),
        ("dom0", GRANTER, "expected empty, self, guest, guest:NAME, guest:DOMID or guest:UUID"),
    ],
)
def test_what_is_no_value_is_named_with_its_option(word, by, expected):
    with pytest.raises(UnmetError) as error:
        read(word, by=by)
    assert error.value.what == f"--batch {word!r}: {expected}"
    assert error.value.remedy == "see xengt bench --help, --batch"
    assert error.value.exit_code == Exit.UNMET


def test_one_bad_word_among_good_ones_is_the_one_named():
    with pytest.raises(UnmetError, match="--batch 'x'"):
        read("1,2", "3,x,4")


@pytest.mark.parametrize("bound", [1, 512])
def test_bounds_are_values(bound):
    assert read(str(bound), by=integer(1, 512)) == [bound]


def test_every_kind_reads_its_values():
    assert read("0.5,1e3", by=positive) == [0.5, 1000.0]
    assert read("yes,no", by=one_of("no", "yes")) == ["yes", "no"]
    spec = "empty,self,guest,guest:web,guest:7"
    assert read(spec, by=GRANTER) == spec.split(",")
