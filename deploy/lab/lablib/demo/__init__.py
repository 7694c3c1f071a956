"""deploy/lab/demo: measure grant map and unmap on stock and patched Xen, and compare."""
