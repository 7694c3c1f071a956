"""What Xen permits in a PV dom0 only: device maps, and maps of dom0's own pages."""

import pytest

from xengt.xen import kernel

REASON = "Xen rejects device maps of a PVH dom0, and removes the pages of its own that it maps"

pv_only = pytest.mark.skipif(kernel.is_translated(), reason=REASON)
