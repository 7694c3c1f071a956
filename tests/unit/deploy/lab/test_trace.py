"""`lab trace`: from QEMU's log of executed instructions to the counts of each operation."""

import argparse
import json
import subprocess
from itertools import chain, pairwise

import pytest
from lablib.errors import LabError
from lablib.trace import analyse, capture, command, count, cut, report
from lablib.trace.code import Code, Instruction

from tests.unit.deploy.lab.executed_log import write_log

#: a miniature do_grant_table_op(): loops over operations, with the lock functions of the hypervisor
SOURCE = """
#define INLINE static inline __attribute__((always_inline))
#define APART __attribute__((noinline, noclone))
static int lock, status;
INLINE void spin_lock_common(int *l) { __asm__ volatile("lock xaddl %%eax, (%0)" :: "r"(l) : "eax", "memory"); }
APART void _spin_lock(int *l) { spin_lock_common(l); }
INLINE void _percpu_read_lock(void) { __asm__ volatile("lock addl $0, -4(%%rsp)" ::: "memory"); }
INLINE void grant_read_lock(void) { _percpu_read_lock(); }
INLINE void active_entry_acquire(void) { _spin_lock(&lock); }
INLINE void somebody(void) { _spin_lock(&lock); }
INLINE void fence(void) { __asm__ volatile("lfence"); }
APART void gnttab_map_grant_ref(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        grant_read_lock();
        active_entry_acquire();
        somebody();
        fence();
        __asm__ volatile("lock cmpxchg %%ecx, (%0)" :: "r"(&status) : "eax", "memory");
    }
}
APART void flush_area_mask(void) { __asm__ volatile(""); }
APART void flush_iotlb_qi(void) { __asm__ volatile(""); }
APART void gnttab_unmap_grant_ref(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        __asm__ volatile("xchg %%eax, (%0)" :: "r"(&status) : "eax", "memory");
    flush_area_mask();
    flush_iotlb_qi();
    flush_iotlb_qi();
    for (unsigned i = 0; i < n; i++)
        __asm__ volatile("mfence");
}
APART void do_grant_table_op(int op, unsigned n)
{
    if (op) gnttab_unmap_grant_ref(n); else gnttab_map_grant_ref(n);
    __asm__ volatile("");
}
int main(int argc, char **argv) { do_grant_table_op(argc - 1, 4); return argv == 0; }
"""  # noqa: E501


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Compile SOURCE with symbols, at fixed addresses."""
    directory = tmp_path_factory.mktemp("program")
    (directory / "small.c").write_text(SOURCE)
    words = ["gcc", "-g", "-O2", "-no-pie", "-fcf-protection=none", "small.c", "-o", "small"]
    subprocess.run(words, cwd=directory, check=True)
    return directory / "small"


def follow(code: Code, name: str, arguments: dict[str, int]) -> list[int]:
    """Return the address of each instruction that a call of a function executes."""
    at, stack, executed, rounds = code.start(name), [], [], arguments["rounds"]
    order = sorted(code.instructions)
    following = dict(pairwise(order))
    taken: dict[int, int] = {}
    while True:
        executed.append(at)
        instruction = code.instructions[at]
        words = instruction.text.split()
        if instruction.returns:
            if not stack:
                return executed
            at = stack.pop()
        elif instruction.calls:
            stack.append(following[at])
            at = int(words[1], 16)
        elif words[0] == "jmp":
            at = int(words[1], 16)
        elif words[0] == "jne" and int(words[1], 16) < at:  # the loop's own branch: rounds - 1
            taken[at] = taken.get(at, 0) + 1
            at = int(words[1], 16) if taken[at] < rounds else following[at]
        elif words[0] in {"jne", "je"} and name == "do_grant_table_op" and not stack:
            jumps = (words[0] == "jne") == bool(arguments["op"])
            at = int(words[1], 16) if jumps else following[at]
        else:
            at = following[at]


@pytest.fixture
def traces(program, tmp_path):
    code = Code(program)
    calls = [follow(code, "do_grant_table_op", {"op": op, "rounds": 4}) for op in (0, 1, 0, 1)]
    return analyse.analyse(code, write_log(chain(*calls), tmp_path / "log"), 4), code


def test_a_hypercall_is_cut_into_operations(traces):
    (maps, unmaps), code = traces
    assert (maps.name, maps.recorded, maps.identical) == ("map", 2, 2)
    assert [part.name for part in maps.operations] == ["map"]
    assert [part.name for part in unmaps.operations] == ["unmap, first pass", "unmap, completion"]
    (part,) = maps.operations
    assert maps.instructions - maps.once == 4 * len(part.steps)
    counts = count.by_symbol(part, code)
    assert counts.keys() == {"gnttab_map_grant_ref", "_spin_lock"}
    assert sum(counts.values()) == len(part.steps)
    inlined = count.by_source(part, code)
    assert inlined["spin_lock_common"] == 2  # the xadd, of two lockings
    lines = count.by_line(part, code)
    assert any(line.startswith("fence ") for line in lines)


def test_locks_have_a_name_and_a_scope(traces):
    (maps, unmaps), _ = traces
    (part,) = maps.operations
    assert [(lock.lock, lock.domain_wide) for lock in part.locks()] == [
        ("grant table, read", True),
        ("entry", False),
        ("somebody", True),  # an unknown lock is assumed to be domain-wide
    ]
    assert part.kinds() == {"locked": 4, "lfence": 1}
    first, last = unmaps.operations
    assert first.kinds() == {"locked": 1}
    assert first.locks() == []
    assert last.kinds() == {"mfence": 1}


def test_table_listing_and_document(traces):
    hypercalls, code = traces
    table = report.table(hypercalls, code, 4, "symbol")
    assert "map: 2 hypercalls recorded, 2 of them identical" in table
    row = next(line for line in table.splitlines() if line.startswith("domain-wide"))
    assert row.split() == ["domain-wide", "locks", "2", "0", "0", "2"]
    assert "acquires somebody (domain-wide)" in table
    assert "acquires entry: " in table
    listing = report.listing(hypercalls, code)
    operations = [part for each in hypercalls for part in each.operations]
    assert len(listing.splitlines()) == sum(len(part.steps) + 2 for part in operations)
    document = json.loads(json.dumps(report.document(hypercalls, code, {"batch": 4})))
    assert document["batch"] == 4
    flushes = [(each["flush_rounds"], each["iotlb_flushes"]) for each in document["hypercalls"]]
    assert flushes == [(0, 0), (1, 2)]
    assert "TLBs flushed 1 times, IOTLBs 2 times" in table
    (part,) = document["hypercalls"][0]["parts"]
    assert part["instructions"] == sum(part["by_symbol"].values())
    assert sum(point["domain_wide"] for point in part["points"]) == 2


def test_a_batch_of_one_is_analysed_as_a_whole_call(program, tmp_path):
    code = Code(program)
    calls = [follow(code, "do_grant_table_op", {"op": op, "rounds": 1}) for op in (0, 1)]
    maps, _ = analyse.analyse(code, write_log(chain(*calls), tmp_path / "log"), 1)
    assert maps.operations[0].addresses == calls[0]


def test_a_trace_without_unmap_hypercalls_is_an_error(program, tmp_path):
    code = Code(program)
    call = follow(code, "do_grant_table_op", {"op": 0, "rounds": 4})
    with pytest.raises(LabError, match="no complete unmap hypercall"):
        analyse.analyse(code, write_log(call, tmp_path / "log"), 4)


def test_instructions_are_those_in_memory_with_alternatives_applied(program, tmp_path):
    code = Code(program)
    start, size = code.section
    fences = [at for at, each in code.instructions.items() if each.fence == "lfence"]
    assert fences
    data = subprocess.run(
        ["objcopy", "-O", "binary", "-j", ".text", program, "/dev/stdout"],
        check=True,
        capture_output=True,
    ).stdout
    assert len(data) == size
    (tmp_path / "text").write_bytes(data.replace(b"\x0f\xae\xe8", b"\x90\x90\x90"))
    running = Code(program, tmp_path / "text")
    assert running.instructions[fences[0]].text == "nop"
    assert running.section == (start, size)


@pytest.mark.parametrize(
    ("text", "locked"),
    [
        ("lock xadd %eax,(%rdi)", True),
        ("xchg   %eax,0x8(%rdi)", True),
        ("xchg   %ax,%ax", False),
        ("data16 xchg %ax,%ax", False),
        ("mov    %rax,(%rdi)", False),
    ],
)
def test_atomic_accesses_are_recognised(text, locked):
    assert Instruction(0, text).locked == locked


@pytest.mark.parametrize(
    ("text", "returns", "calls"),
    [
        ("ret", True, False),
        ("repz ret", True, False),
        ("jmp    ffff82d040203020 <__x86_return_thunk>", True, False),
        ("jmp    ffff82d040203020 <other>", False, False),
        ("call   ffff82d040203020 <other>", False, True),
        ("callq  *%rax", False, True),
    ],
)
def test_calls_and_returns_are_recognised(text, returns, calls):
    instruction = Instruction(0, text)
    assert (instruction.returns, instruction.calls) == (returns, calls)


def test_a_return_through_the_thunk_is_one_return():
    texts = {1: "call 5 <f>", 5: "call 8 <g>", 8: "jmp 9 <__x86_return_thunk>", 9: "ret"}
    texts |= {6: "jmp 9 <__x86_return_thunk>", 2: "nop"}
    code = argparse.Namespace(instructions={at: Instruction(at, t) for at, t in texts.items()})
    depths = [len(each.callers) for each in count.steps([1, 5, 8, 9, 6, 9, 2], code)]
    assert depths == [0, 1, 2, 1, 1, 0, 0]


def test_a_block_that_qemu_stopped_before_is_not_executed(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "Trace 0: 0x7f80 [0000000000000000/ffff82d040200010/0050/ff] \n"
        "Trace 0: 0x7f81 [0000000000000000/ffff82d040200013/0050/ff] \n"
        "Stopped execution of TB chain before 0x7f81 [ffff82d040200013] \n"
        "Servicing hardware INT=0xf0\n"
        "Trace 0: 0x7f82 [0000000000000000/ffff82d040200020/0050/ff] \n"
        "Trace 0: 0x7f81 [0000000000000000/ffff82d040200013/0050/ff] \n"
    )
    found = [address & 0xFF for address in capture.executed(log)]
    assert found == [0x10, 0x20, 0x13]


def test_a_call_without_a_return_is_not_complete():
    assert list(cut.calls([7, 1, 2, 1, 2, 3, 9, 3, 1], 1, frozenset({3}))) == [(1, 2, 3)]


def test_an_inner_loop_is_not_the_loop_over_operations():
    round_ = [10, 11, 11, 11, 12]
    (loop,) = cut.loops([1, *round_, *round_, *round_, *round_, 99, 98, 97], 4)
    assert loop.rounds == (tuple(round_),) * 4
    assert loop.end == 21


def test_the_modal_round_is_the_most_frequent_one():
    (loop,) = cut.loops([10, 12, 10, 11, 12, 10, 12, 10, 12, 99], 4)
    assert loop.modal == (10, 12)


def test_symbols_are_in_the_directory_of_the_image(tmp_path):
    xen = tmp_path / "xen"
    with pytest.raises(LabError, match=r"xen-syms, the symbols of .*, does not exist"):
        command.find_symbols(xen, None)
    (tmp_path / "xen-syms").write_text("")
    assert command.find_symbols(xen, None) == tmp_path / "xen-syms"


def test_symbols_that_are_not_an_elf_file_are_an_error(tmp_path):
    (tmp_path / "xen-syms").write_text("no")
    with pytest.raises(LabError, match=r"nm cannot read .*xen-syms"):
        Code(tmp_path / "xen-syms")


def test_symbols_of_another_build_are_an_error(program, tmp_path):
    code = Code(program)
    _, size = code.section
    with pytest.raises(LabError, match="does not belong to the running hypervisor"):
        code.compare(bytes(size))
    subprocess.run(
        ["objcopy", "-O", "binary", "-j", ".text", program, tmp_path / "text"], check=True
    )
    code.compare((tmp_path / "text").read_bytes().replace(b"\x0f\xae\xe8", b"\x90\x90\x90"))
