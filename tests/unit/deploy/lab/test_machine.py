"""What the lab boots, and how it sees that a boot is lost."""

import gzip
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lablib import cli, initramfs, package, qemu, remote, session
from lablib.console import Console
from lablib.errors import LabError, tail
from lablib.qemu import Machine, start, usable
from lablib.record import Record, birth, directory, load
from lablib.remote import line

from tests.unit.waiting import wait_until


def command(**options):
    return Machine(Path("/x/xen"), **options).command(1234, "KEY", Path("/x/console"))


def value(words, option):
    return words[words.index(option) + 1]


@pytest.mark.parametrize(
    "death",
    [
        b"(XEN) Panic on CPU 0:",
        b"[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs",
        b"(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.",
        b"xengt-lab: dom0 is not usable: xl: no xenstored",
    ],
)
def test_a_lost_machine_is_seen_even_in_pieces(tmp_path, death):
    path = tmp_path / "console"
    console = Console(path)
    assert not console.read()
    path.write_bytes(b"(XEN) Xen version 4.20\n" + death[:9])
    assert console.read()
    assert console.death is None
    with path.open("ab") as file:
        file.write(death[9:])
    console.read()
    assert console.death == death.decode()
    assert not console.ready


def test_ready_is_seen(tmp_path):
    path = tmp_path / "console"
    path.write_bytes(b"noise\r\nxengt-lab: dom0 is ready\r\n")
    console = Console(path)
    console.read()
    assert console.ready
    assert console.death is None


def test_tail_has_no_control_characters(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"first\n\n\x1b[0;32m  OK  \x1b[0m\r\nlast \xff\n")
    assert tail(path, 2) == ["[0;32m  OK  [0m", "last \ufffd"]


def test_dom0_is_reached_from_loopback_and_reaches_nothing():
    network = value(command(), "-netdev")
    assert "restrict=on" in network.split(",")
    assert "hostfwd=tcp:127.0.0.1:1234-:22" in network.split(",")


def test_exact_is_one_vcpu_that_counts_instructions():
    words = command(exact=True)
    assert value(words, "-smp") == "1"
    assert value(words, "-icount") == "shift=0,sleep=off"


@pytest.mark.parametrize(("option", "device"), [("strict", "intel"), ("strict-amd", "amd")])
def test_strict_has_an_iommu_and_ports_for_devices_behind_it(option, device):
    words = command(iommu=option)
    assert any(word.startswith(f"{device}-iommu") for word in words)
    for plugged in qemu.PLUGGED:
        if plugged.startswith("device_add"):
            port = re.search(r",bus=(\w+)", plugged)[1]
            assert any(word.startswith(f"pcie-root-port,id={port},") for word in words)
    assert "dom0-iommu=strict" in value(words, "-append")
    assert "iommu" not in " ".join(command())


def test_behind_an_iommu_is_every_device_that_has_dma():
    words = command(iommu="strict", guest_disk=True)
    devices = [words[at + 1] for at, word in enumerate(words) if word == "-device"]
    virtio = [device for device in devices if device.startswith("virtio")]
    assert len(virtio) == 3
    assert all("iommu_platform=on" in device for device in virtio)


def test_another_kernel_boots_with_its_own_initramfs():
    assert value(command(), "-initrd").startswith("vmlinuz root=/dev/vda ")
    modules = value(command(kernel=Path("/k")), "-initrd").split(",")
    assert modules[0].startswith("/k/vmlinuz root=/dev/vda ")
    assert modules[1] == "/k/initramfs"


def test_words_for_xen_come_last():
    assert value(command(xen_args="loglvl=all"), "-append").endswith(" loglvl=all")


def test_every_disk_is_thrown_away():
    drives = [word for word in command(guest_disk=True, iommu="strict") if word.startswith("id=")]
    drives += [line for line in qemu.PLUGGED if line.startswith("drive_add")]
    assert len(drives) == 3
    assert all("snapshot=on" in drive for drive in drives)


def test_a_packed_hypervisor_is_unpacked(tmp_path):
    packed = tmp_path / "xen.gz"
    packed.write_bytes(gzip.compress(b"\x7fELF"))
    assert usable(packed, tmp_path).read_bytes() == b"\x7fELF"


def test_a_missing_hypervisor_is_named(tmp_path):
    with pytest.raises(LabError, match="nothing-here cannot be read: No such file"):
        usable(tmp_path / "nothing-here", tmp_path)


def test_qemu_dies_with_what_started_it(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from lablib.qemu import start\n"
        f"log = Path({str(tmp_path / 'log')!r})\n"
        "child = start(['sleep', '600'], Path('/'), log, stays=False)\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        assert birth(pid) is not None
        parent.kill()
    assert wait_until(lambda: birth(pid) is None)


def test_a_lab_whose_qemu_died_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    child = start(["sleep", "60"], Path("/"), tmp_path / "log", stays=True)
    facts = {"port": 1, "hypervisor": "stock", "exact": False, "iommu": None, "guest": False}
    record = Record(name="one", pid=child.pid, born=birth(child.pid), **facts)
    record.directory.mkdir(parents=True)
    record.save()
    assert load("one") == record
    record.kill()
    child.wait()
    assert load("one") is None
    assert not record.directory.exists()


def test_a_pid_that_came_back_is_not_the_lab():
    record = Record(
        "one", os.getpid(), (birth(os.getpid()) or 0) - 1, 1, "stock", False, None, False
    )
    assert not record.alive()


@pytest.fixture
def booting(tmp_path, monkeypatch):
    """A lab whose QEMU is any program."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "xengt/log").mkdir(parents=True)
    children = []

    def boot(*program):
        home = tmp_path / "xengt/run/one"
        home.mkdir(parents=True)
        (home / "console.log").write_text("")
        child = start([*program], home, home / "qemu.log", stays=True)
        children.append(child)
        return Record("one", child.pid, birth(child.pid) or 0, 1, "stock", False, None, False)

    yield boot
    for child in children:
        child.kill()
        child.wait()


def test_a_silent_boot_ends(booting, monkeypatch):
    monkeypatch.setattr(session, "SILENCE", 0.3)
    with pytest.raises(LabError, match="the boot hung"):
        session.wait(booting("sleep", "60"), timeout=60)


def test_a_boot_that_only_talks_ends(booting):
    record = booting("sh", "-c", "while :; do echo busy >> console.log; sleep 0.05; done")
    with pytest.raises(LabError, match="not usable after 1 s"):
        session.wait(record, timeout=1)


def test_a_panic_ends_the_boot_and_keeps_the_console(booting):
    record = booting("sh", "-c", "echo '(XEN) Panic on CPU 0:' >> console.log; sleep 60")
    with pytest.raises(LabError, match="Panic on CPU 0") as lost:
        session.wait(record, timeout=60)
    assert tail(lost.value.log) == ["(XEN) Panic on CPU 0:"]


def test_qemus_own_words_are_told(booting):
    with pytest.raises(LabError, match="QEMU ended during the boot: no such machine"):
        session.wait(booting("sh", "-c", "echo no such machine; sleep 0.2"), timeout=60)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["exit 7"], 7),
        (["sh -c 'kill -TERM $$'"], 128 + 15),
        (["true && false"], 1),
        (["sh", "-c", 'test "$1" = "a  b;c"', "sh", "a  b;c"], 0),
    ],
)
def test_exit_codes_and_words_survive_the_shell(words, expected):
    status = subprocess.run(["sh", "-c", line(words)], check=False).returncode
    assert status == expected


def test_modules_load_after_what_they_need():
    table = initramfs.parse_dependencies(
        "a/ext4.ko.xz: a/jbd2.ko.xz a/crc16.ko.xz\na/jbd2.ko.xz:\na/crc16.ko.xz:\n"
    )
    assert initramfs.order(table, ("ext4", "built_in")) == [
        "a/crc16.ko.xz",
        "a/jbd2.ko.xz",
        "a/ext4.ko.xz",
    ]


def test_the_initramfs_is_a_newc_archive():
    """By the kernel's buffer-format.rst: 13 fields of 8 hex digits, all parts padded to 4 bytes."""
    members = [("bin", 0o040755, b""), ("bin/odd", 0o100755, b"content")]
    data = initramfs.archive(members)
    read, at = [], 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size]
        at += (110 + name_size + 3) // 4 * 4
        if name == b"TRAILER!!!\0":
            break
        read.append((name.rstrip(b"\0").decode(), mode, data[at : at + size]))
        at += (size + 3) // 4 * 4
    assert read == members


def test_a_kernel_without_modules_brings_what_modprobe_asks_for(tmp_path):
    for name in ("usr/bin/busybox", "init", "6.12-x/modules.builtin", "6.12-x/build/left"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    data = initramfs.build_for(tmp_path / "6.12-x", tmp_path, tmp_path / "init")
    assert b"modules/order\0" in data
    assert b"lib/modules/6.12-x/modules.builtin\0" in data
    assert b"left" not in data


def test_what_a_compiler_left_is_not_packaged(tmp_path):
    for part in package.PARTS:
        path = tmp_path / part
        (path.parent if "." in path.name or path.name == "LICENSE" else path).mkdir(
            parents=True, exist_ok=True
        )
        if not path.is_dir():
            path.write_text("")
    for name in ("kept.py", "left.so", "left.o"):
        (tmp_path / "xengt" / name).write_text("")
    names = {path.name for path in package.files(tmp_path)}
    assert "kept.py" in names
    assert not names & {"left.so", "left.o"}


@pytest.mark.parametrize(("status", "expected"), [(5, 5), (0, LabError)])
def test_a_file_a_failed_command_did_not_make_hides_nothing(monkeypatch, status, expected):
    def missing(*_):
        raise LabError("copying out.json out of dom0 failed")

    monkeypatch.setattr(session, "up", lambda *_, **__: None)
    monkeypatch.setattr(session, "down", lambda *_: True)
    monkeypatch.setattr(remote, "execute", lambda *_: status)
    monkeypatch.setattr(remote, "get", missing)
    args = cli.parser().parse_args(["run", "--get", "out.json", "--", "false"])
    if expected is LabError:
        with pytest.raises(LabError, match=r"out\.json"):
            cli.run(args)
    else:
        assert cli.run(args) == expected


def test_help_has_examples():
    lab = Path(package.places.LAB / "lab")
    text = subprocess.run([lab, "--help"], check=True, capture_output=True, text=True).stdout
    for name in ("build", "run", "up", "ssh", "put", "get", "status", "down"):
        assert f"    {name} " in text
        shown = subprocess.run([lab, name, "--help"], check=True, capture_output=True, text=True)
        assert shlex.quote("lab") in shown.stdout
        assert "example: lab" in shown.stdout


def test_a_thread_for_each_vcpu_only_when_asked():
    assert value(command(), "-accel") == "tcg,thread=single"
    assert value(command(threads="multi"), "-accel") == "tcg,thread=multi"


def test_a_clock_that_counts_instructions_is_of_one_vcpu(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(["up", "--exact", "--threads", "multi"])
    assert ended.value.code == 2
    assert "--threads: not allowed with argument --exact" in capsys.readouterr().err


def test_a_lab_whose_monitor_cannot_listen_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = "x" * 100
    with pytest.raises(LabError, match="too long for a socket") as caught:
        session.up(name, session.Options(iommu="strict"), stays=False)
    assert "shorter name" in caught.value.remedy
    assert not directory(name).exists()
