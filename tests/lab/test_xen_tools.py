"""Xen's own tests of grant tables, as Debian ships them in xen-utils."""

import pytest

pytestmark = pytest.mark.long

RESOURCE = "/usr/lib/xen-4.20/bin/test-resource"


@pytest.mark.parametrize("variant", ["stock", "patched", "patched-debug"])
def test_resource(labs, variant):
    done = labs.get(variant).run(RESOURCE)
    print(done.stdout)
    # It skips kinds of guests that a machine cannot have: of all is no test.
    assert "Test grant table" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
