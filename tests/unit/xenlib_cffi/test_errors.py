"""Errors in Xen's words: every status of the header, and what an error's sentence holds."""

import errno
import re

import pytest

from xengt.errors import Exit, FailedError, UnmetError, XengtError
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError, status_word
from xenlib_cffi.library import load


def header_statuses():
    _, lib = load()
    return {name: getattr(lib, name) for name in dir(lib) if name.startswith("GNTST_")}


def test_every_status_is_the_headers():
    ours = {f"GNTST_{status.name.lower()}": int(status) for status in GrantStatus}
    assert ours == header_statuses()


@pytest.mark.parametrize("status", list(GrantStatus))
def test_every_status_has_a_word(status):
    name, meaning = status_word(int(status)).split(": ")
    assert header_statuses()[name] == status
    assert re.fullmatch(r"[a-z].{8,}[^.]", meaning)


def test_words_differ():
    assert len({status.word for status in GrantStatus}) == len(GrantStatus)


@pytest.mark.parametrize("status", [1, -14, -1000])
def test_a_status_no_header_names_is_told_as_a_number(status):
    assert status_word(status) == f"status {status}, which xen/grant_table.h does not name"


def test_a_library_error_names_call_subject_and_errno():
    error = XenLibraryError("xc_domain_create", "an empty domain", errno.ENOMEM)
    assert str(error) == "xc_domain_create on an empty domain: ENOMEM, Cannot allocate memory"
    assert isinstance(error, OSError)
    assert (error.errno, error.call, error.subject) == (
        errno.ENOMEM,
        "xc_domain_create",
        "an empty domain",
    )


def test_a_library_error_says_what_the_library_said():
    error = XenLibraryError("xencall_open", "/dev/xen/privcmd", errno.ENOENT, "xencall: no driver")
    assert str(error).endswith("directory (the library says: xencall: no driver)")


def test_an_errno_without_a_name_is_told_as_a_number():
    assert str(XenLibraryError("a", "b", 4095)) == "a on b: 4095, Unknown error 4095"


def test_a_grant_error_names_operation_reference_and_domain():
    error = GrantError("GNTTABOP_map_grant_ref", 7, 8, status_word(-3), -3)
    assert str(error) == (
        "GNTTABOP_map_grant_ref of reference 8 of domain 7: "
        "GNTST_bad_gntref: unrecognised or inappropriate grant reference"
    )
    assert (error.domid, error.gref, error.status) == (7, 8, GrantStatus.BAD_GNTREF)
    assert GrantError("a", 1, 2, "changed").status is None


def test_exit_codes_are_the_documented_ones():
    assert [code.value for code in (Exit.DONE, Exit.BEYOND_BOUND, Exit.UNMET, Exit.FAILED)] == [
        *range(4)
    ]
    assert UnmetError("a").exit_code == 2
    assert FailedError("a").exit_code == 3


def test_an_error_keeps_what_and_remedy_apart():
    error: XengtError = UnmetError("it is missing", "install it")
    assert (str(error), error.what, error.remedy) == (
        "it is missing",
        "it is missing",
        "install it",
    )
    assert FailedError("it broke").remedy == ""
