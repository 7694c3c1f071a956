"""What a device reaches of granted pages behind an IOMMU in strict mode: dom0/dma, run there."""

import pytest

from tests.lab.reach import left_behind


@pytest.mark.parametrize("variant", ["strict", "strict-stock", "strict-amd"])
def test_dma(labs, variant):
    dom0 = labs.get(variant)
    done = dom0.run("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "/root/dom0/dma")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_behind(dom0) == ""
