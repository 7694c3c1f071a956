"""Stand-ins for handles of Xen's libraries, which work only on Xen."""


class Handle:
    """A handle that is only a context manager; tests add the methods they need."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class Yielding(Handle):
    """A handle whose context yields a given object."""

    def __init__(self, given):
        self.given = given

    def __enter__(self):
        return self.given


class Limits(Handle):
    """A stand-in for hypfs that returns one limit of grant tables, or raises an error."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self):
        return self

    def read(self, path):
        assert path.startswith("/params/gnttab_max_")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
