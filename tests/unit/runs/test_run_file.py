"""Reading of the documents of several runs."""

import pytest

from xengt.break_even import compare_alternatives
from xengt.errors import UnmetError
from xengt.scaling import fit_runs


@pytest.mark.parametrize("report", [compare_alternatives, fit_runs])
def test_no_run_is_an_error_that_names_no_other_command(report):
    with pytest.raises(UnmetError, match=r"^no runs are given") as error:
        report([])
    assert "compare" not in error.value.remedy
