"""The timed loop in Python: arguments, results, errors, and stopping it early."""

import pytest

from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.loop import Loop, LoopEngine, ThreadShare, Touch

SET_UP = """
import mmap, signal, os, threading
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.library import Pages, load
from xenlib_cffi.loop import LocalPages, LoopEngine, Loop, ThreadShare, Touch

cursors = [bytearray(8), bytearray(8)]
targets = [(7, gref, 7 << 32 | gref) for gref in range(100, 110)]
shares = [ThreadShare(-1, targets, memoryview(cursor)) for cursor in cursors]

def at(cursor):
    return int.from_bytes(cursor, "little")

# Shares without a common reference, as workers that copy need.
xen_ffi = load()[0]
memory = Pages(xen_ffi, xen_ffi.from_buffer("char[]", mmap.mmap(-1, 8 * 4096)), 8)
first_frame = int(xen_ffi.cast("uintptr_t", memory.pointer)) // 4096
halves = [
    ThreadShare(
        -1,
        targets[5 * i : 5 * i + 5],
        memoryview(cursors[i]),
        frames=range(100 + 5 * i, 105 + 5 * i),
        local=LocalPages(memory, 4 * i, range(first_frame + 4 * i, first_frame + 4 * i + 4)),
    )
    for i in (0, 1)
]
"""


def test_fewer_references_than_a_batch_are_an_error():
    with pytest.raises(ValueError, match="3 references of a worker are fewer than a batch of 4"):
        Loop(LoopEngine.HYPERCALL, [ThreadShare(0, [(7, gref, 0) for gref in range(3)])], batch=4)


def test_a_readonly_cursor_is_an_error():
    with pytest.raises(BufferError, match="not writable"):
        Loop(LoopEngine.HYPERCALL, [ThreadShare(0, [(7, 8, 0)], memoryview(bytes(8)))], batch=1)


@pytest.mark.parametrize(
    ("names", "mapped", "copied"),
    [
        (("HYPERCALL", "GNTDEV", "FOREIGN"), 2 * 53 * 4, 0),
        (("COPY", "GNTDEV_COPY"), 0, 2 * 2 * 53 * 4 * 512),
        (("PERSISTENT",), 10, 0),
        ([name for name in LoopEngine.__members__ if "REFUSED" in name or name == "EMPTY"], 0, 0),
    ],
)
def test_every_engine_runs_its_rounds(on_fake_xen, names, mapped, copied):
    for name in names:
        out = on_fake_xen(f"""{SET_UP}
fake.tables = True  # libxenforeignmemory can be opened
loop = Loop(LoopEngine.{name}, halves, batch=4, size=512, warmup=3, rounds=50)
loop.run()
print(loop.rounds, [step.count for step in loop.steps], loop.elapsed_s > 0)
print(fake.mapped, fake.copied, fake.live, fake.open, fake.stale, [at(each) for each in cursors])
""")
        assert out == f"100 [100, 100] True\n{mapped} {copied} 0 0 0 [0, 0]\n", name


@pytest.mark.parametrize("engine", [LoopEngine.GNTDEV, LoopEngine.FOREIGN])
@pytest.mark.parametrize("touch", [Touch.READ, Touch.WRITE, Touch.COPY])
def test_touches_are_recorded_between_maps_and_unmaps(on_fake_xen, engine, touch):
    out = on_fake_xen(f"""{SET_UP}
fake.tables = True
loop = Loop({engine}, halves, batch=4, touch={touch}, size=1500, rounds=50)
loop.run()
print([step.count for step in loop.steps], fake.live)
""")
    assert out == "[100, 100, 100] 0\n"


def test_hypercall_mappings_cannot_be_touched(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
loop = Loop(LoopEngine.HYPERCALL, halves, batch=4, touch=Touch.READ, rounds=50)
loop.run()
print(len(loop.steps))
""")
    assert out == "2\n"


def test_fewer_local_pages_than_a_batch_are_an_error(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
for share in (halves[0], shares[0]):
    try:
        Loop(LoopEngine.COPY, [share], batch=5)
    except ValueError as error:
        print(error)
""")
    assert out == (
        "4 local pages of a worker are fewer than a batch of 5\n"
        "0 local pages of a worker are fewer than a batch of 5\n"
    )


def test_a_loop_ends_after_its_duration(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
loop = Loop(LoopEngine.HYPERCALL, shares, batch=1, seconds=0.05)
loop.run()
print(loop.elapsed_s >= 0.05, loop.rounds == loop.steps[0].count > 2)
""")
    assert out == "True True\n"


def test_readonly_maps_are_readonly(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
for readonly in (False, True):
    library.fake_xen_reset()
    Loop(LoopEngine.HYPERCALL, shares, batch=1, rounds=1, readonly=readonly).run()
    print(all(fake.maptrack[i].readonly for i in range(fake.handles)))
""")
    assert out == "False\nTrue\n"


@pytest.mark.parametrize("engine", [LoopEngine.HYPERCALL, LoopEngine.REFUSED_HYPERCALL])
def test_fast_handles_are_unmapped_once_each(on_fake_xen, engine):
    out = on_fake_xen(f"""{SET_UP}
fake.fast = True
targets = [(0x7fef, gref, 0) for gref in range(65_530, 65_540)]
# Both workers map the same references, so that their mappings share handles.
Loop({engine}, [ThreadShare(-1, targets)] * 2, batch=10, rounds=50).run()
fast_handles = sum(fake.maptrack[i].fast for i in range(fake.handles))
print(fake.mapped, fake.live, fake.stale, fast_handles > 0)
""")
    assert out == ("0 0 0 False\n" if "REFUSED" in engine.name else "1000 0 0 True\n")


def test_a_rejected_reference_is_reported_with_the_text_of_its_status(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
fake.refused_gref, fake.refused_status = 106, -3
try:
    Loop(LoopEngine.HYPERCALL, shares[:1], batch=4, rounds=5).run()
except GrantError as error:
    print(error)
    print(error.domid, error.gref, error.status)
print(fake.live, fake.mapped, at(cursors[0]))
""")
    assert out == (
        "GNTTABOP_map_grant_ref on reference 106 of domain 7: "
        "GNTST_bad_gntref: unrecognised or inappropriate grant reference\n"
        "7 106 -3\n"
        "0 7 5\n"
    )


def test_a_mapped_page_with_the_wrong_content_is_an_error(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
fake.changed_gref = 103
try:
    Loop(LoopEngine.GNTDEV, shares, batch=4, rounds=5).run()
except GrantError as error:
    print(error, error.status)
print(fake.live)
""")
    assert out == (
        "xengnttab_map_grant_refs on reference 103 of domain 7: "
        "the mapped or copied page does not hold the pattern of the granted page None\n0\n"
    )


def test_a_failing_call_is_reported_with_its_errno(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
fake.map_breaks = 2
try:
    Loop(LoopEngine.HYPERCALL, shares[:1], batch=4, rounds=5).run()
except XenLibraryError as error:
    print(error)
print(fake.live)
""")
    assert out == "GNTTABOP_map_grant_ref on reference 100 of domain 7: EFAULT, Bad address\n0\n"


def test_run_watched_raises_the_failure_of_the_loop(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
fake.no_device = True
try:
    Loop(LoopEngine.GNTDEV, shares, batch=1).run_watched(lambda rounds: None)
except XenLibraryError as error:
    print(error.call, error.errno)
""")
    assert out == "xengnttab_open 2\n"


def test_run_watched_reports_rounds_and_ctrl_c_unmaps_everything(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
reports = []
def watch(rounds):
    reports.append(rounds)
    if len(reports) == 2:
        os.kill(os.getpid(), signal.SIGINT)

loop = Loop(LoopEngine.GNTDEV, shares, batch=4)
try:
    loop.run_watched(watch)
except KeyboardInterrupt:
    print("interrupted")
print(0 < reports[0] < reports[1] <= loop.rounds == loop.steps[0].count)
print(fake.live, fake.open, threading.active_count(), [at(cursor) for cursor in cursors])
""")
    assert out == "interrupted\nTrue\n0 0 1 [0, 0]\n"


def test_ctrl_c_while_the_thread_starts_stops_the_loop(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
class Interrupted(threading.Thread):
    def start(self):
        super().start()
        raise KeyboardInterrupt

threading.Thread = Interrupted
loop = Loop(LoopEngine.HYPERCALL, shares, batch=1, seconds=5)
try:
    loop.run_watched(lambda rounds: None)
except KeyboardInterrupt:
    print("interrupted")
print(threading.active_count(), fake.live, fake.open, loop.elapsed_s < 4)
""")
    assert out == "interrupted\n1 0 0 True\n"


def test_an_interval_determines_the_duration(on_fake_xen):
    out = on_fake_xen(f"""{SET_UP}
loop = Loop(LoopEngine.HYPERCALL, shares[:1], batch=1, rounds=20, interval_ns=2_000_000)
loop.run()
print(loop.rounds, loop.elapsed_s >= 0.04)
""")
    assert out == "20 True\n"


def test_a_missing_cpu_is_an_error():
    with pytest.raises(XenLibraryError, match=r"pthread_setaffinity_np.*EINVAL"):
        Loop(LoopEngine.HYPERCALL, [ThreadShare(100_000, [(7, 8, 0)])], batch=1).run()
