"""What is left of a request that fails: an error, and nothing else."""

import itertools

from tests.hypervisor.binding import (
    BOTH,
    DEVICE,
    GENERAL,
    GRANT_READONLY,
    HOST,
    OKAY,
    PERMIT,
    PINS,
    PWT,
    READONLY,
    UNANSWERED,
)


def test_xsa_295_a_guest_cannot_hold_xen_up(machine):
    granter, mapper = machine.create_pair()
    always_another = itertools.cycle((PERMIT | PWT, PERMIT))
    for ref in (3, 9):
        tries = []

        def interfere(what, _, ref=ref, tries=tries):
            # A guest that writes its entry faster than Xen does; until it is clear that Xen loops.
            if what == "compare and exchange" and len(tries) < 100:
                tries.append(what)
                granter.grant(ref, to=mapper.domid, page=ref, flags=next(always_another))

        with machine.record_events(interfere):
            for ask in (lambda *asked: mapper.map(*asked).status, mapper.copy):
                tries.clear()
                status = ask(granter, ref)
                assert len(tries) < 10
                assert status == GENERAL
        assert granter.status(ref) == 0
    assert machine.is_consistent()


def test_xsa_316_errors_are_negative(machine):
    for _, granter, mapper in machine.create_pairs(iommu=True):
        other = machine.create(40)
        answers = []
        for ref in (3, 9):
            answers += [mapper.map(granter, ref, host_addr=1 << 40).status]
            answers += [other.map(granter, ref, flags).status for flags in (HOST, HOST | READONLY)]
            answers += [other.copy(granter, ref, write=write) for write in (False, True)]
            granter.grant(ref, to=mapper.domid, page=ref, flags=PERMIT | GRANT_READONLY)
            answers += [mapper.map(granter, ref, flags).status for flags in (HOST, DEVICE, 0)]
            answers += [mapper.copy(granter, ref, write=True)]
            granter.grant(ref, to=mapper.domid, frame=0xFFFFFFF)
            answers += [mapper.map(granter, ref).status, mapper.copy(granter, ref)]
            granter.grant(ref, to=mapper.domid, page=ref)
            machine.calls.fail_allocations(0)
            answers += [mapper.map(granter, ref).status]
            machine.calls.fail_allocations(-1)
            with machine.record_events(lambda what, _: what == "IOMMU map"):
                answers += [mapper.map(granter, ref).status]
        assert all(-13 <= answer < OKAY for answer in answers), answers
        assert UNANSWERED not in answers
        assert machine.is_consistent()


def test_xsa_288_devices_may_what_the_type_says(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for ref in (3, 9):
        mappings = []
        for flags in (HOST | READONLY, DEVICE | READONLY, BOTH, HOST, DEVICE):
            mappings.append(mapper.map(granter, ref, flags, entry=flags))
            written = any(not mapping.flags & READONLY for mapping in mappings)
            assert (mapper.iommu_permissions(granter, ref), bool(granter.page_counts(ref)[1])) == (
                1 + 2 * written,
                written,
            )
        while mappings:
            assert mapper.unmap(mappings.pop()) == OKAY
            written = any(not mapping.flags & READONLY for mapping in mappings)
            expected = (1 + 2 * written if mappings else 0), written
            assert (mapper.iommu_permissions(granter, ref), bool(granter.page_counts(ref)[1])) == expected
    assert mapper.state.iommu_mappings == 0
    assert machine.is_consistent()


def test_xsa_291_what_devices_cannot_have_is_undone(machine):
    for ref in (3, 9):
        for held in ((), (HOST | READONLY,), (DEVICE | READONLY, HOST | READONLY)):
            for flags in (*PINS, BOTH):
                machine.reset()
                granter, mapper = machine.create_pair(iommu=True)
                mappings = [
                    mapper.map(granter, ref, other, entry=entry) for entry, other in enumerate(held)
                ]
                if held and flags & READONLY:
                    continue  # there is nothing to be done for devices

                def left(granter=granter, mapper=mapper, ref=ref):
                    entry = granter.entry(ref)
                    return (
                        *(entry.pin, granter.status(ref), granter.page_counts(ref)),
                        *(mapper.host_entry(5), mapper.iommu_permissions(granter, ref), mapper.state.iommu_mappings),
                        *(mapper.state.fast, mapper.state.slow),
                    )

                before = left()
                with machine.record_events(lambda what, _: what == "IOMMU map"):
                    assert mapper.map(granter, ref, flags, entry=5).status == GENERAL
                assert left() == before
                # Its count is none too high either: when the others go, so does what devices have.
                mappings.append(mapper.map(granter, ref, flags, entry=5))
                assert mapper.iommu_permissions(granter, ref) == (1 if flags & READONLY else 3)
                assert [mapper.unmap(mapping) for mapping in mappings] == [OKAY] * len(mappings)
                assert mapper.state.iommu_mappings == 0
                assert machine.is_consistent()
