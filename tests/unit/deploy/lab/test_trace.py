"""From QEMU's log of executed instructions to what an operation consists of."""

import argparse
import json
import socket
import subprocess
import threading
from itertools import chain, pairwise
from pathlib import Path

import pytest
from lablib import places, session
from lablib.errors import LabError
from lablib.monitor import Monitor
from lablib.qemu import Machine
from lablib.trace import analyse, capture, command, count, cut, report
from lablib.trace.code import Code, Instruction

#: a hypercall in the small: two operations' loops, with locks as the hypervisor has them
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
APART void gnttab_unmap_grant_ref(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        __asm__ volatile("xchg %%eax, (%0)" :: "r"(&status) : "eax", "memory");
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
    """The program above, with symbols, at fixed addresses."""
    place = tmp_path_factory.mktemp("program")
    (place / "small.c").write_text(SOURCE)
    words = ["gcc", "-g", "-O2", "-no-pie", "-fcf-protection=none", "small.c", "-o", "small"]
    subprocess.run(words, cwd=place, check=True)
    return place / "small"


def follow(code: Code, name: str, arguments: dict[str, int]) -> list[int]:
    """Every address a function goes through, by its own branches, as an emulator would see it."""
    at, stack, seen, left = code.start(name), [], [], arguments["rounds"]
    order = sorted(code.instructions)
    following = dict(pairwise(order))
    taken: dict[int, int] = {}
    while True:
        seen.append(at)
        instruction = code.instructions[at]
        words = instruction.text.split()
        if instruction.returns:
            if not stack:
                return seen
            at = stack.pop()
        elif instruction.calls:
            stack.append(following[at])
            at = int(words[1], 16)
        elif words[0] == "jmp":
            at = int(words[1], 16)
        elif words[0] == "jne" and int(words[1], 16) < at:  # the loop's own branch: rounds - 1
            taken[at] = taken.get(at, 0) + 1
            at = int(words[1], 16) if taken[at] < left else following[at]
        elif words[0] in {"jne", "je"} and name == "do_grant_table_op" and not stack:
            jumps = (words[0] == "jne") == bool(arguments["op"])
            at = int(words[1], 16) if jumps else following[at]
        else:
            at = following[at]


def log_of(addresses, to: Path) -> Path:
    to.write_text(
        "".join(f"Trace 0: 0x7f80d3259d40 [0000000000000000/{a:016x}/0050c2b0/ff]\n"
                for a in addresses)
    )  # fmt: skip
    return to


@pytest.fixture
def traced(program, tmp_path):
    code = Code(program)
    calls = [follow(code, "do_grant_table_op", {"op": op, "rounds": 4}) for op in (0, 1, 0, 1)]
    return analyse.analyse(code, log_of(chain(*calls), tmp_path / "log"), 4), code


def test_a_call_is_cut_into_operations(traced):
    (maps, unmaps), code = traced
    assert (maps.kind, maps.seen, maps.modal) == ("map", 2, 2)
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


def test_locks_have_names_and_owners(traced):
    (maps, unmaps), _ = traced
    (part,) = maps.operations
    assert [(lock.lock, lock.wide) for lock in part.locks()] == [
        ("grant table, read", True),
        ("entry", False),
        ("somebody", True),  # an unknown lock counts as a domain's
    ]
    assert part.kinds() == {"locked": 4, "lfence": 1}
    first, last = unmaps.operations
    assert first.kinds() == {"locked": 1}
    assert first.locks() == []
    assert last.kinds() == {"mfence": 1}


def test_table_listing_and_document(traced):
    made, code = traced
    shown = report.table(made, code, 4, "symbol")
    assert "map: 2 hypercalls seen, 2 of them the same" in shown
    row = next(line for line in shown.splitlines() if line.startswith("domain-wide"))
    assert row.split() == ["domain-wide", "2", "0", "0", "2"]
    assert "takes somebody (domain-wide)" in shown
    assert "takes entry: " in shown
    listing = report.listing(made, code)
    operations = [part for each in made for part in each.operations]
    assert len(listing.splitlines()) == sum(len(part.steps) + 2 for part in operations)
    document = json.loads(json.dumps(report.document(made, code, 4, "guest", 1)))
    (part,) = document["hypercalls"][0]["parts"]
    assert part["instructions"] == sum(part["by_symbol"].values())
    assert sum(point["domain_wide"] for point in part["points"]) == 2


def test_batch_1_is_a_whole_call(program, tmp_path):
    code = Code(program)
    calls = [follow(code, "do_grant_table_op", {"op": op, "rounds": 1}) for op in (0, 1)]
    maps, _ = analyse.analyse(code, log_of(chain(*calls), tmp_path / "log"), 1)
    assert maps.operations[0].addresses == calls[0]


def test_a_trace_without_unmaps_is_said(program, tmp_path):
    code = Code(program)
    call = follow(code, "do_grant_table_op", {"op": 0, "rounds": 4})
    with pytest.raises(LabError, match="no whole unmap hypercall"):
        analyse.analyse(code, log_of(call, tmp_path / "log"), 4)


def test_what_is_in_memory_counts_not_what_is_in_the_file(program, tmp_path):
    """Alternatives: the hypervisor replaces instructions while it boots."""
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
def test_atomic_accesses(text, locked):
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
def test_calls_and_returns(text, returns, calls):
    instruction = Instruction(0, text)
    assert (instruction.returns, instruction.calls) == (returns, calls)


def test_the_return_thunk_is_one_return():
    texts = {1: "call 5 <f>", 5: "call 8 <g>", 8: "jmp 9 <__x86_return_thunk>", 9: "ret"}
    texts |= {6: "jmp 9 <__x86_return_thunk>", 2: "nop"}
    code = argparse.Namespace(instructions={at: Instruction(at, t) for at, t in texts.items()})
    depths = [len(each.callers) for each in count.steps([1, 5, 8, 9, 6, 9, 2], code)]
    assert depths == [0, 1, 2, 1, 1, 0, 0]


def test_a_block_that_was_taken_back_did_not_run(tmp_path):
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


def test_a_call_that_begins_anew_was_not_whole():
    assert list(cut.calls([7, 1, 2, 1, 2, 3, 9, 3, 1], 1, frozenset({3}))) == [(1, 2, 3)]


def test_an_inner_loop_is_not_the_loop_over_operations():
    round_ = [10, 11, 11, 11, 12]
    (loop,) = cut.loops([1, *round_, *round_, *round_, *round_, 99, 98, 97], 4)
    assert loop.rounds == (tuple(round_),) * 4
    assert loop.end == 21


def test_a_rare_round_is_not_the_modal_one():
    (loop,) = cut.loops([10, 12, 10, 11, 12, 10, 12, 10, 12, 99], 4)
    assert loop.modal == (10, 12)


def test_symbols_stand_beside_the_image(tmp_path):
    xen = tmp_path / "xen"
    with pytest.raises(LabError, match=r"xen-syms of .* are not there"):
        command.find_symbols(xen, None)
    (tmp_path / "xen-syms").write_text("")
    assert command.find_symbols(xen, None) == tmp_path / "xen-syms"


def test_a_file_that_is_no_elf_is_refused(tmp_path):
    (tmp_path / "xen-syms").write_text("no")
    with pytest.raises(LabError, match=r"nm cannot read .*xen-syms"):
        Code(tmp_path / "xen-syms")


def test_a_monitor_is_listened_for_only_when_asked():
    def words(**options):
        return Machine(Path("/x/xen"), **options).command(1, "KEY", Path("/x/console"))

    assert "-monitor" not in words()
    asked = words(monitor=Path("/x/monitor"))
    assert asked[asked.index("-monitor") + 1].startswith("unix:/x/monitor,")
    assert asked[asked.index("-dfilter") + 1].startswith("0xffff82d04")


@pytest.fixture
def qemu(tmp_path):
    """Something that answers like QEMU's monitor; what it was told."""
    told: list[str] = []
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "monitor"
    listener.bind(str(path))
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"QEMU 7.2 monitor\r\n(qemu) ")
            for line in lines:
                told.append(line.decode().strip())
                if told[-1] == "quit":
                    return
                said = b"Invalid addr\r\n" if told[-1].startswith("memsave") else b""
                if told[-1] == "cont" and told[-2].startswith("log exec"):
                    log_of([1, 2, 1, 2], path.with_name("log"))
                elif told[-1].startswith("logfile") and "null" not in told[-1]:
                    log_of([], path.with_name("log"))
                connection.sendall(line.strip() + b"\x1b[K\r\n" + said + b"(qemu) ")

    server = threading.Thread(target=serve)
    server.start()
    yield path, told
    listener.close()
    server.join()


def test_recording_ends_as_it_began(qemu):
    path, told = qemu
    with Monitor(path) as monitor:
        capture.record(monitor, path.with_name("log"), 2, 2, 10)
        assert told[0] == "stop"
        assert told[-3:] == ["logfile /dev/null", "singlestep off", "cont"]
        with pytest.raises(LabError, match="0x2 was not executed 3 times"):
            capture.record(monitor, path.with_name("log"), 2, 3, 0.1)
        assert told[-3:] == ["logfile /dev/null", "singlestep off", "cont"]
        with pytest.raises(LabError, match="0x10 cannot be read: Invalid addr"):
            capture.memory(monitor, 0x10, 4, path.parent / "none")
        with pytest.raises(LabError, match="hung up"):
            monitor.do("quit")


def test_no_monitor_is_said(tmp_path):
    with pytest.raises(LabError, match="cannot be reached"):
        Monitor(tmp_path / "none")


def test_help_has_an_example():
    lab = places.LAB / "lab"
    shown = subprocess.run([lab, "trace", "--help"], check=True, capture_output=True, text=True)
    for word in ("--syms", "--batch", "--mappings", "--by", "--json", "example: lab trace"):
        assert word in shown.stdout


def test_symbols_of_another_build_are_refused(program, tmp_path):
    code = Code(program)
    _, size = code.section
    with pytest.raises(LabError, match="not of the hypervisor that runs"):
        code.compare(bytes(size))
    subprocess.run(
        ["objcopy", "-O", "binary", "-j", ".text", program, tmp_path / "text"], check=True
    )
    code.compare((tmp_path / "text").read_bytes().replace(b"\x0f\xae\xe8", b"\x90\x90\x90"))


def test_only_an_exact_lab_can_be_traced(program, tmp_path):
    lab = argparse.Namespace(exact=False, name="one")
    with pytest.raises(LabError, match="one has two vCPUs") as refused:
        command.record_trace(lab, program, argparse.Namespace(), tmp_path)
    assert refused.value.exit_code == 2


def test_an_exact_lab_has_a_monitor_where_a_socket_can_be(tmp_path):
    assert session._monitor(tmp_path) == tmp_path / "monitor"
    assert session._monitor(tmp_path / ("x" * 100)) is None
