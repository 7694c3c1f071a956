"""Xen's own grant table test, test-resource of Debian's xen-utils."""

import pytest

pytestmark = pytest.mark.long

RESOURCE = "/usr/lib/xen-4.20/bin/test-resource"


@pytest.mark.parametrize("variant", ["stock", "patched", "patched-debug"])
def test_resource(labs, variant):
    done = labs.get(variant).run(RESOURCE)
    print(done.stdout)
    # test-resource skips guest types that the machine does not support; it must not skip all.
    assert "Test grant table" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
