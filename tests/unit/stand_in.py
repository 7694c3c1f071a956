"""What stands in for a handle of a library that works on Xen alone."""


class Handle:
    """A context manager and no more; what it answers, each test says."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class Yielding(Handle):
    """One that gives something when it is entered."""

    def __init__(self, given):
        self.given = given

    def __enter__(self):
        return self.given


class Limits(Handle):
    """What hypfs says of a limit of grant tables, or how it fails to."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self):
        return self

    def read(self, path):
        assert path.startswith("/params/gnttab_max_")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
