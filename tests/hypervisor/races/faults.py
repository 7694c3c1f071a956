"""Faults put into the series, to see that the races find such; where marks.py has been before."""

from dataclasses import dataclass

from tests.hypervisor.changes import Change


@dataclass(frozen=True)
class Fault:
    """What is wrong, the mix that finds it, and whether it takes ThreadSanitizer."""

    name: str
    mix: str
    sanitized: bool
    changes: tuple[Change, ...]


FAULTS = (
    Fault(
        "a version switch looks at pins without the entry's lock",
        "versions",
        True,
        (
            Change(
                "        struct active_grant_entry *act = active_entry_acquire(gt, i);\n"
                "        bool busy = act->pin;\n\n        active_entry_release(act);\n",
                "        bool busy = read_atomic(&_active_entry(gt, i).pin);\n",
            ),
        ),
    ),
    Fault(
        "a version switch is not announced",
        "versions",
        True,
        (
            Change(
                "write_atomic(&gt->version_changing, true)",
                "write_atomic(&gt->version_changing, false)",
            ),
        ),
    ),
    Fault(
        "a slot is live as soon as it is reserved",
        "wrong",
        False,
        (Change("write_atomic(slot, record);", "write_atomic(slot, record | FAST_live);"),),
    ),
    Fault(
        "unmapping looks for a slot without the entry's lock",
        "wrong",
        True,
        (
            Change(
                "    act = active_entry_acquire(rgt, array_index_nospec(ref, nr_ents));\n\n    /*\n"
                "     * Note that we (ab)use",
                "    act = &_active_entry(rgt, array_index_nospec(ref, nr_ents));\n\n    /*\n"
                "     * Note that we (ab)use",
            ),
            Change(
                " act_release_out:\n    active_entry_release(act);\n unlock_out:\n"
                "    if ( table_locked )\n        grant_read_unlock(rgt);\n\n    if ( put_handle",
                " act_release_out:\n unlock_out:\n"
                "    if ( table_locked )\n        grant_read_unlock(rgt);\n\n    if ( put_handle",
            ),
        ),
    ),
    Fault(
        "a table grows before what it grows by is there",
        "orderly",
        True,
        (
            Change(
                "    smp_wmb();\n    write_atomic(&gt->nr_grant_frames, req_nr_frames);",
                "    gt->nr_grant_frames = req_nr_frames;",
            ),
        ),
    ),
    Fault(
        "a reserved reference is unmapped without the table's lock",
        "reserved",
        True,
        (
            Change(
                "    const bool table_locked = ref_needs_table_lock(op->ref);",
                "    const bool table_locked = false;",
                function="unmap_common_complete",
            ),
        ),
    ),
    Fault(
        "a slot is free before its bus address is flushed",
        "bus",
        False,
        (Change("write_atomic(mflags, flags);", ";"),),
    ),
    Fault(
        "a handle is free before its bus address is flushed",
        "slow-bus",
        False,
        (
            Change(
                "    if ( put_handle && likely(dfn_eq(op->dfn, INVALID_DFN)) )\n"
                "        free_handle(op);\n",
                "    if ( put_handle )\n        free_handle(op);\n",
            ),
            Change(
                "            write_atomic(op->slot, 0);\n        free_handle(op);\n",
                "            write_atomic(op->slot, 0);\n",
            ),
        ),
    ),
)
