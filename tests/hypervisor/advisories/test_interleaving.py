"""Interleavings of two CPUs: where one holds no lock, the other runs a whole operation.

XSA-218 and XSA-501 were about changes while no lock is held. These are not all interleavings of two
CPUs, but they are reproducible and cover every such point.
"""

import itertools

from tests.hypervisor.binding import DEVICE, HOST, OKAY, PINS, READONLY, UNANSWERED

ACQUIRE = ("lock &", "try &", "read &", "write &")
RELEASE = ("unlock &", "unread &", "unwrite &")


class Scene:
    """A reference that is mapped once, and the operations of both CPUs."""

    def __init__(self, machine, version: int, ref: int, mapper: dict) -> None:
        self.machine, self.version, self.ref = machine, version, ref
        machine.reset()
        self.granter, self.mapper = machine.create_pair(version=version, **mapper)
        self.flags = HOST if self.mapper.translated else HOST | DEVICE
        self.held = self.mapper.map(self.granter, ref, self.flags, entry=1)
        # The handle that a fast mapping of this reference has.
        self.guessed_handle = 0x80000000 | self.granter.domid << 16 | ref
        self.second, self.granter_cpu1 = self.mapper.on(1, 1), self.granter.on(1, 1)

    # operations of the first CPU

    def map(self):
        return self.mapper.map(self.granter, self.ref, HOST | READONLY, entry=2).status

    def map_at_bad_address(self):
        return self.mapper.map(self.granter, self.ref, HOST, host_addr=1 << 40).status

    def unmap(self):
        return self.mapper.unmap(self.held)

    def unmap_device_part(self):
        return self.mapper.unmap(self.held, host_addr=0)

    def copy_write(self):
        return self.mapper.copy(self.granter, self.ref, write=True)

    def switch_version(self):
        return self.granter.set_version(3 - self.version)

    # operations of the second CPU

    def map_again(self):
        return self.second.map(self.granter, self.ref, HOST, entry=3).status

    def unmap_same(self):
        return self.second.unmap(self.held)

    def unmap_host_part(self):
        """Unmap and check that the device part, if it is pinned still, keeps the page."""
        status = self.second.unmap(self.held, bus=0)
        pin, (references, _) = self.granter.entry(self.ref).pin, self.granter.page_counts(self.ref)
        assert references > 1 or pin == 0
        return status

    def unmap_guessed_handle(self):
        return self.second.unmap_all([(self.guessed_handle, self.mapper.address(2), 0)])[0]

    def map_and_unmap_again(self):
        made = self.second.map(self.granter, self.ref, HOST, entry=3)
        return made.status or self.second.unmap(made)

    def copy_read(self):
        return self.second.copy(self.granter, self.ref)

    def switch_version_again(self):
        return self.granter_cpu1.set_version(3 - self.version)

    def grow(self):
        return self.granter_cpu1.grow(self.granter.state.grant_frames + 1)

    # checks after both operations

    def check(self) -> None:
        assert self.machine.is_consistent()
        list(self.mapper.destroy())
        assert {self.granter.entry(ref).pin for ref in range(16)} == {0}
        assert {self.granter.status(ref) for ref in range(16)} == {0}
        assert {self.granter.page_counts(page) for page in range(16)} == {(1, 0)}
        list(self.granter.destroy())
        assert (self.machine.state.domains, self.machine.state.xen_pages) == (0, 0)


FIRST = (Scene.map, Scene.map_at_bad_address, Scene.unmap, Scene.copy_write, Scene.switch_version)
OTHER = (
    *(Scene.map_again, Scene.unmap_same, Scene.unmap_guessed_handle, Scene.map_and_unmap_again),
    *(Scene.copy_read, Scene.switch_version_again, Scene.grow),
)


def run_at(scene: Scene, first, other, point: int) -> tuple[int, int] | None:
    """Run `first`, with `other` at a point where no lock is held.

    Returns both statuses, or None past the last point.
    """
    held, points_passed, statuses = [], itertools.count(), []

    def handler(name, subject):
        if name.startswith(RELEASE) and subject in held:
            held.remove(subject)
        # The harness frees a page with its own lock held.
        if not held and name != "free page" and next(points_passed) == point:
            statuses.append(other(scene))
        if name.startswith(ACQUIRE):
            held.append(subject)

    with scene.machine.record_events(handler):
        status = first(scene)
    return (status, statuses[0]) if statuses else None


def check(scene: Scene, first, other, status: int, other_status: int) -> None:
    assert UNANSWERED not in {status, other_status}
    if (first, other) == (Scene.unmap, Scene.unmap_same):
        # Only one of them succeeds: a handle is freed once.
        assert OKAY in {status, other_status}
        assert status != other_status
        assert scene.granter.entry(scene.ref).pin == 0
    if (first, other) == (Scene.copy_write, Scene.copy_read):
        assert (status, other_status) == (OKAY, OKAY)
        parts = [part for part in (HOST, DEVICE) if scene.flags & part]
        assert scene.granter.entry(scene.ref).pin == sum(PINS[part] for part in parts)
    scene.check()


def check_all_points(machine, config: tuple, first, other) -> int:
    """Run and check the interleaving at each point; return the number of points."""
    for point in itertools.count():
        scene = Scene(machine, *config)
        statuses = run_at(scene, first, other, point)
        if statuses is None:
            return point
        try:
            check(scene, first, other, *statuses)
        except AssertionError as error:
            raise AssertionError(
                f"{other.__name__} at point {point} of {first.__name__}: {config}, {statuses}"
            ) from error
    return 0


WORLDS = tuple(itertools.product((1, 2), (9, 3), ({"iommu": True}, {"translated": True})))


def test_xsa_218_concurrent_operations_keep_the_state_consistent(machine):
    for first, other, config in itertools.product(FIRST, OTHER, WORLDS):
        assert check_all_points(machine, config, first, other) > 1


def test_xsa_236_a_pinned_entry_keeps_its_page(machine):
    """Two CPUs unmap a part of the mapping each, and either may complete its request last."""
    parts = Scene.unmap_device_part, Scene.unmap_host_part
    for version, ref in itertools.product((1, 2), (9, 3)):
        assert check_all_points(machine, (version, ref, {"iommu": True}), *parts) > 1
