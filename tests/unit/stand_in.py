"""What stands in for a handle of a library that works on Xen alone."""


class Handle:
    """A context manager and no more; what it answers, each test says."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
