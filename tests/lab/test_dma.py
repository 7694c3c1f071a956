"""Runs dom0/dma in dom0: DMA of a device to granted pages behind an IOMMU in strict mode."""

import pytest

from tests.lab.lab_dom0 import leftovers


@pytest.mark.parametrize("variant", ["strict", "strict-stock", "strict-amd"])
def test_dma(labs, variant):
    dom0 = labs.get(variant)
    done = dom0.run("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "/root/dom0/dma")
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert leftovers(dom0) == ""
