"""Faults planted into the annotated series (annotations.py), which the stress test must detect."""

from dataclasses import dataclass

from tests.hypervisor.changes import Change


@dataclass(frozen=True)
class Fault:
    """A planted fault.

    Attributes:
        name: description, also in the `why` of mutants/*.toml.
        mix: name of the mix in mixes.h that detects it.
        sanitized: whether detection needs ThreadSanitizer.
        changes: of the annotated sources.
    """

    name: str
    mix: str
    sanitized: bool
    changes: tuple[Change, ...]


FAULTS = (
    Fault(
        "a version switch reads pins without the entry lock",
        "versions",
        True,
        (
            Change(
                "        if ( unlikely(active_entry_busy(gt, i)) )",
                "        if ( read_atomic(&_active_entry(gt, i).pin) )",
            ),
        ),
    ),
    Fault(
        "a version switch does not set version_changing",
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
        "invalid",
        False,
        (Change("write_atomic(slot, record);", "write_atomic(slot, record | FAST_live);"),),
    ),
    Fault(
        "unmapping finds its slot without the entry lock",
        "invalid",
        True,
        (
            Change(
                "    act = acquire_entry_to_unmap(rgt, array_index_nospec(ref, nr_ents), host);\n\n"
                "    /*\n     * Note that we (ab)use",
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
        "the bound of a table is raised before its new frames are stored",
        "valid",
        True,
        (
            Change(
                "    smp_wmb();\n    write_atomic(&gt->nr_grant_frames, req_nr_frames);",
                "    gt->nr_grant_frames = req_nr_frames;",
            ),
        ),
    ),
    Fault(
        "a reserved reference is unmapped without the table lock",
        "reserved",
        True,
        (
            Change(
                "    table_locked = ref_needs_table_lock(op->ref);",
                "    table_locked = false;",
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
