"""The exceptions of the bindings and of xengt, and the texts of Xen's statuses."""

import errno
import re

import pytest

from xengt.errors import Exit, FailedError, UnmetError, XengtError
from xenlib_cffi.errors import (
    BindingError,
    GrantError,
    GrantStatus,
    MissingLibraryError,
    XenLibraryError,
    status_text,
)
from xenlib_cffi.library import load


def header_statuses():
    _, lib = load()
    return {name: getattr(lib, name) for name in dir(lib) if name.startswith("GNTST_")}


def test_statuses_equal_those_of_the_header():
    statuses = {f"GNTST_{status.name.lower()}": int(status) for status in GrantStatus}
    assert statuses == header_statuses()


@pytest.mark.parametrize("status", list(GrantStatus))
def test_every_status_has_a_text(status):
    name, meaning = status_text(int(status)).split(": ")
    assert header_statuses()[name] == status
    assert re.fullmatch(r"[a-z].{8,}[^.]", meaning)


def test_status_texts_differ():
    assert len({status.text for status in GrantStatus}) == len(GrantStatus)


@pytest.mark.parametrize("status", [1, -14, -1000])
def test_an_unknown_status_is_reported_as_a_number(status):
    assert status_text(status) == f"unknown status {status} (not in xen/grant_table.h)"


def test_a_library_error_names_call_subject_and_errno():
    error = XenLibraryError("xc_domain_create", "an empty domain", errno.ENOMEM)
    assert str(error) == "xc_domain_create on an empty domain: ENOMEM, Cannot allocate memory"
    assert isinstance(error, OSError)
    assert (error.errno, error.call, error.subject) == (
        errno.ENOMEM,
        "xc_domain_create",
        "an empty domain",
    )


def test_a_library_error_contains_the_message_of_the_library():
    error = XenLibraryError("xencall_open", "/dev/xen/privcmd", errno.ENOENT, "xencall: no driver")
    assert str(error).endswith("directory (message of the library: xencall: no driver)")


def test_an_unknown_errno_is_reported_as_a_number():
    assert str(XenLibraryError("a", "b", 4095)) == "a on b: 4095, Unknown error 4095"


def test_a_grant_error_names_operation_reference_and_domain():
    error = GrantError("GNTTABOP_map_grant_ref", 7, 8, status_text(-3), -3)
    assert str(error) == (
        "GNTTABOP_map_grant_ref on reference 8 of domain 7: "
        "GNTST_bad_gntref: unrecognised or inappropriate grant reference"
    )
    assert (error.domid, error.gref, error.status) == (7, 8, GrantStatus.BAD_GNTREF)
    assert GrantError("a", 1, 2, "changed").status is None


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (MissingLibraryError("no library", "install it"), "install it"),
        (MissingLibraryError(), ""),
        (
            XenLibraryError("xencall_open", "/dev/xen/privcmd", errno.EACCES),
            "run this program as root",
        ),
        (XenLibraryError("xc_version", "the hypervisor", errno.EPERM), "run this program as root"),
        (
            XenLibraryError("xc_interface_open", "/dev/xen/privcmd", errno.EACCES),
            "run this program as root",
        ),
        (
            XenLibraryError("xc_physinfo", "the hypervisor", errno.EACCES),
            "install the libxenctrl of the running Xen's version, which `xengt check` prints",
        ),
        (
            XenLibraryError("xengnttab_open", "/dev/xen/gntdev", errno.ENOENT),
            "load the driver: modprobe xen-gntdev",
        ),
        (XenLibraryError("xenhypfs_read", "/params/nothing", errno.ENOENT), ""),
        (GrantError("a", 1, 2, "changed"), ""),
        (GrantError("a", 1, 2, "full", GrantStatus.NO_SPACE), "gnttab_max_maptrack_frames"),
        (GrantError("a", 1, 2, "unknown", -1000), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_error_of_the_bindings_has_a_remedy_that_may_be_empty(error, remedy):
    with pytest.raises(BindingError) as caught:
        raise error
    assert remedy in caught.value.remedy
    assert bool(remedy) == bool(caught.value.remedy)


def test_exit_codes_are_the_documented_ones():
    assert [code.value for code in (Exit.DONE, Exit.BEYOND_BOUND, Exit.UNMET, Exit.FAILED)] == [
        *range(4)
    ]
    assert UnmetError("a").exit_code == 2
    assert FailedError("a").exit_code == 3


def test_an_error_has_what_and_remedy_separately():
    error: XengtError = UnmetError("it is missing", "install it")
    assert (str(error), error.what, error.remedy) == (
        "it is missing",
        "it is missing",
        "install it",
    )
    assert FailedError("it broke").remedy == ""
