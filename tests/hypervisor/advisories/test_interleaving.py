"""Two CPUs, one at a time: at each point where one holds no lock, the other does all of its own.

218 and 501 were of what changes while nothing is locked. This is not all that can happen on two
CPUs, but the same each time, and in each place there is.
"""

import itertools

from tests.hypervisor.binding import DEVICE, HOST, OKAY, PINS, READONLY, UNANSWERED

TAKES = ("lock &", "read &", "write &")
GIVES = ("unlock &", "unread &", "unwrite &")


class Scene:
    """A reference that is mapped once; what one CPU does with it, and the other."""

    def __init__(self, machine, version: int, ref: int, mapper: dict) -> None:
        self.machine, self.version, self.ref = machine, version, ref
        machine.reset()
        self.granter, self.mapper = machine.create_pair(version=version, **mapper)
        self.flags = HOST if self.mapper.translated else HOST | DEVICE
        self.held = self.mapper.map(self.granter, ref, self.flags, entry=1)
        # What the next fast mapping's handle will be, for who guesses.
        self.guessed = 0x80000000 | self.granter.domid << 16 | ref
        self.second, self.meddler = self.mapper.on(1, 1), self.granter.on(1, 1)

    # by the first

    def maps(self):
        return self.mapper.map(self.granter, self.ref, HOST | READONLY, entry=2).status

    def maps_nowhere(self):
        return self.mapper.map(self.granter, self.ref, HOST, host_addr=1 << 40).status

    def unmaps(self):
        return self.mapper.unmap(self.held)

    def copies(self):
        return self.mapper.copy(self.granter, self.ref, write=True)

    def switches(self):
        return self.granter.set_version(3 - self.version)

    # by the other, meanwhile

    def maps_too(self):
        return self.second.map(self.granter, self.ref, HOST, entry=3).status

    def unmaps_too(self):
        return self.second.unmap(self.held)

    def guesses(self):
        return self.second.unmap_all([(self.guessed, self.mapper.address(2), 0)])[0]

    def maps_and_unmaps(self):
        made = self.second.map(self.granter, self.ref, HOST, entry=3)
        return made.status or self.second.unmap(made)

    def copies_too(self):
        return self.second.copy(self.granter, self.ref)

    def switches_too(self):
        return self.meddler.set_version(3 - self.version)

    def grows(self):
        return self.meddler.grow(self.granter.state.grant_frames + 1)

    # after both

    def check(self) -> None:
        assert self.machine.is_consistent()
        list(self.mapper.destroy())
        assert {self.granter.entry(ref).pin for ref in range(16)} == {0}
        assert {self.granter.status(ref) for ref in range(16)} == {0}
        assert {self.granter.page_counts(page) for page in range(16)} == {(1, 0)}
        list(self.granter.destroy())
        assert (self.machine.state.domains, self.machine.state.xen_pages) == (0, 0)


FIRST = (Scene.maps, Scene.maps_nowhere, Scene.unmaps, Scene.copies, Scene.switches)
OTHER = (
    *(Scene.maps_too, Scene.unmaps_too, Scene.guesses, Scene.maps_and_unmaps),
    *(Scene.copies_too, Scene.switches_too, Scene.grows),
)


def play(scene: Scene, first, other, point: int) -> tuple[int, int] | None:
    """Have the other act at a point; return what both were answered, None past the last point."""
    held, passed, answers = [], itertools.count(), []

    def react(what, about):
        if what.startswith(GIVES) and about in held:
            held.remove(about)
        # The harness has its own lock where a page is freed.
        if not held and what != "free page" and next(passed) == point:
            answers.append(other(scene))
        if what.startswith(TAKES):
            held.append(about)

    with scene.machine.record_events(react):
        answer = first(scene)
    return (answer, answers[0]) if answers else None


def look(scene: Scene, first, other, answer: int, others: int) -> None:
    assert UNANSWERED not in {answer, others}
    if (first, other) == (Scene.unmaps, Scene.unmaps_too):
        # One of them has it: a handle is given back once.
        assert OKAY in {answer, others}
        assert answer != others
        assert scene.granter.entry(scene.ref).pin == 0
    if (first, other) == (Scene.copies, Scene.copies_too):
        assert (answer, others) == (OKAY, OKAY)
        parts = [part for part in (HOST, DEVICE) if scene.flags & part]
        assert scene.granter.entry(scene.ref).pin == sum(PINS[part] for part in parts)
    scene.check()


def points(machine, where: tuple, first, other) -> int:
    """Play at each point, and look each time; return how many there were."""
    for point in itertools.count():
        scene = Scene(machine, *where)
        answered = play(scene, first, other, point)
        if answered is None:
            return point
        try:
            look(scene, first, other, *answered)
        except AssertionError as error:
            raise AssertionError(
                f"{first.__name__} is met at point {point} by {other.__name__}: {where}, {answered}"
            ) from error
    return 0


WORLDS = tuple(itertools.product((1, 2), (9, 3), ({"iommu": True}, {"translated": True})))


def test_xsa_218_another_cpu_meanwhile(machine):
    for first, other, where in itertools.product(FIRST, OTHER, WORLDS):
        assert points(machine, where, first, other) > 1
