"""Options of several values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengt.cli import option_values
from xengt.errors import Exit, UnmetError


def read(*given, by=option_values.integer(0)):  # noqa: B008 (it makes a pure function)
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
    ("word", "by", "wanted"),
    [
        ("0", option_values.integer(1, 512), "a whole number from 1 to 512 is wanted"),
        ("513", option_values.integer(1, 512), "a whole number from 1 to 512 is wanted"),
        ("x", option_values.integer(1), "a whole number from 1 on is wanted"),
        ("-1", option_values.integer(0), "a whole number from 0 on is wanted"),
        ("1.5", option_values.integer(0), "a whole number from 0 on is wanted"),
        ("", option_values.integer(0), "a whole number from 0 on is wanted"),
        ("0", option_values.positive, "a number above 0 is wanted"),
        ("-2", option_values.positive, "a number above 0 is wanted"),
        ("nan", option_values.positive, "a number above 0 is wanted"),
        ("inf", option_values.positive, "a number above 0 is wanted"),
        ("fast", option_values.positive, "a number above 0 is wanted"),
        ("no?", option_values.one_of("no", "yes"), "one of no, yes is wanted"),
        (
            "guest:",
            option_values.granter,
            "empty, self, guest, guest:NAME or guest:DOMID is wanted",
        ),
        ("dom0", option_values.granter, "empty, self, guest, guest:NAME or guest:DOMID is wanted"),
    ],
)
def test_what_is_no_value_is_named_with_its_option(word, by, wanted):
    with pytest.raises(UnmetError) as error:
        read(word, by=by)
    assert error.value.what == f"--batch {word!r}: {wanted}"
    assert error.value.remedy == "see xengt bench --help, --batch"
    assert error.value.exit_code == Exit.UNMET


def test_one_bad_word_among_good_ones_is_the_one_named():
    with pytest.raises(UnmetError, match="--batch 'x'"):
        read("1,2", "3,x,4")


@pytest.mark.parametrize("bound", [1, 512])
def test_bounds_are_values(bound):
    assert read(str(bound), by=option_values.integer(1, 512)) == [bound]


def test_every_kind_reads_its_values():
    assert read("0.5,1e3", by=option_values.positive) == [0.5, 1000.0]
    assert read("yes,no", by=option_values.one_of("no", "yes")) == ["yes", "no"]
    spec = "empty,self,guest,guest:web,guest:7"
    assert read(spec, by=option_values.granter) == spec.split(",")
