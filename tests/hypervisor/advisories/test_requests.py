"""Requests in memory of which a part is not accessible."""

import errno

import pytest

from tests.hypervisor.binding import (
    HOST,
    LINEAR_BASE,
    MAP,
    OKAY,
    PAGE,
    UNANSWERED,
    UNMAP,
    Domain,
    EventHandler,
    Machine,
)

#: two and a half times the number of requests to map that are copied at once
NUMBER = 40
#: requests to map, and to unmap, copied at once on the patched hypervisor
BULK, UNMAP_BULK = 16, 32
READABLE = (0, 1, 5, 15, 16, 17, 31, 32, 33, 39, 40)


def fail_beyond(machine: Machine, event: str, requests, number: int) -> EventHandler:
    """Return an event handler with which only the first `number` requests are accessible."""
    end = int(machine.ffi.cast("uintptr_t", requests + number))
    return lambda name, subject: -1 if name == event and subject > end else 0


def map_requests(machine: Machine, granter: Domain):
    """Return requests to map reference 20 and those that follow."""
    requests = machine.ffi.new("struct gnttab_map_grant_ref[]", NUMBER)
    for i, request in enumerate(requests):
        request.ref, request.dom, request.flags = 20 + i, granter.domid, HOST
        request.host_addr, request.status = LINEAR_BASE + i * PAGE, UNANSWERED
    return requests


def unmap_requests(machine: Machine, mapped):
    requests = machine.ffi.new("struct gnttab_unmap_grant_ref[]", NUMBER)
    for request, mapping in zip(requests, mapped, strict=True):
        request.handle, request.host_addr = mapping.handle, mapping.host_addr
        request.status = UNANSWERED
    return requests


def pair(machine: Machine) -> tuple[Domain, Domain]:
    machine.reset()
    granter, mapper = machine.create_pair()
    for i in range(NUMBER):
        granter.grant(20 + i, to=mapper.domid, page=i % 16)
    return granter, mapper


def pinned(granter: Domain) -> list[bool]:
    return [bool(granter.entry(20 + i).pin) for i in range(NUMBER)]


@pytest.mark.parametrize("readable", READABLE)
def test_requests_ahead_of_inaccessible_memory_are_carried_out(machine, readable):
    granter, mapper = pair(machine)
    fault = 0 if readable == NUMBER else -errno.EFAULT
    done = [i < readable for i in range(NUMBER)]

    requests = map_requests(machine, granter)
    handler = fail_beyond(machine, "copy from guest", requests, readable)
    with machine.record_events(handler):
        assert mapper.operate(MAP, requests, NUMBER) == fault
    assert [request.status == OKAY for request in requests] == done
    assert pinned(granter) == done

    for i in range(readable, NUMBER):
        assert mapper.operate(MAP, requests + i) == 0
    undo = unmap_requests(machine, requests)
    with machine.record_events(fail_beyond(machine, "copy from guest", undo, readable)):
        assert mapper.operate(UNMAP, undo, NUMBER) == fault
    assert [request.status == OKAY for request in undo] == done
    assert [not each for each in pinned(granter)] == done
    assert machine.is_consistent()


@pytest.mark.parametrize("writable", READABLE[:-1])
def test_a_result_that_cannot_be_written_ends_the_call(machine, writable):
    """Stock stops at once; the patched hypervisor has carried out the bulk."""
    granter, mapper = pair(machine)
    requests = map_requests(machine, granter)
    with machine.record_events(fail_beyond(machine, "copy to guest", requests, writable)):
        assert mapper.operate(MAP, requests, NUMBER) == -errno.EFAULT
    mapped = pinned(granter)
    assert writable < sum(mapped) <= writable + (1 if machine.is_stock else BULK)
    assert mapped == sorted(mapped, reverse=True)
    assert machine.is_consistent()

    granter, mapper = pair(machine)
    requests = map_requests(machine, granter)
    assert mapper.operate(MAP, requests, NUMBER) == 0
    undo = unmap_requests(machine, requests)
    with machine.record_events(fail_beyond(machine, "copy to guest", undo, writable)):
        assert mapper.operate(UNMAP, undo, NUMBER) == -errno.EFAULT
    unmapped = [not each for each in pinned(granter)]
    assert writable < sum(unmapped) <= writable + (1 if machine.is_stock else UNMAP_BULK)
    assert unmapped == sorted(unmapped, reverse=True)
    assert machine.is_consistent()
