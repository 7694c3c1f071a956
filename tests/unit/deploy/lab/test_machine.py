"""QEMU's command line, the start of a lab, and the detection of failed boots."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lablib import boot, cli, places, qemu, remote, session, subcommands
from lablib.artifacts import initramfs, package
from lablib.console import Console
from lablib.errors import EXIT_USAGE, LabError, tail
from lablib.qemu import Machine, prepare_image, start
from lablib.record import Record, directory, load, process_start
from lablib.remote import line

from tests.unit.waiting import wait_until


def command(**options):
    return Machine(Path("/x/xen"), **options).command(1234, "KEY", Path("/x/console"))


def value(words, option):
    return words[words.index(option) + 1]


@pytest.mark.parametrize(
    "message",
    [
        b"(XEN) Panic on CPU 0:",
        b"[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs",
        b"(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.",
        b"xengt-lab: dom0 is not usable: xl: no xenstored",
    ],
)
def test_a_failure_is_recognised_in_a_line_read_in_pieces(tmp_path, message):
    path = tmp_path / "console"
    console = Console(path)
    assert not console.read()
    path.write_bytes(b"(XEN) Xen version 4.20\n" + message[:9])
    assert console.read()
    assert console.failure is None
    with path.open("ab") as file:
        file.write(message[9:])
    console.read()
    assert console.failure == message.decode()
    assert not console.ready


def test_the_ready_message_is_recognised(tmp_path):
    path = tmp_path / "console"
    path.write_bytes(b"noise\r\nxengt-lab: dom0 is ready\r\n")
    console = Console(path)
    console.read()
    assert console.ready
    assert console.failure is None


def test_a_limitation_of_dom0_is_recognised(tmp_path):
    path = tmp_path / "console"
    path.write_bytes(b"xengt-lab: limitation: no xl\r\nxengt-lab: dom0 is ready\r\n")
    console = Console(path)
    console.read()
    assert (console.ready, console.failure, console.limitation) == (True, None, "no xl")


def test_tail_has_no_control_characters(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"first\n\n\x1b[0;32m  OK  \x1b[0m\r\nlast \xff\n")
    assert tail(path, 2) == ["[0;32m  OK  [0m", "last \ufffd"]


def test_dom0_is_reachable_from_loopback_and_has_no_network_access():
    network = value(command(), "-netdev")
    assert "restrict=on" in network.split(",")
    assert "hostfwd=tcp:127.0.0.1:1234-:22" in network.split(",")


def test_an_exact_machine_has_one_vcpu_and_the_instruction_clock():
    words = command(exact=True)
    assert value(words, "-smp") == "1"
    assert value(words, "-icount") == "shift=0,sleep=off"


@pytest.mark.parametrize(("option", "device"), [("strict", "intel"), ("strict-amd", "amd")])
def test_a_strict_machine_has_an_iommu_and_ports_for_devices(option, device):
    words = command(iommu=option)
    assert any(word.startswith(f"{device}-iommu") for word in words)
    for plugged in qemu.HOTPLUG_COMMANDS:
        if plugged.startswith("device_add"):
            port = re.search(r",bus=(\w+)", plugged)[1]
            assert any(word.startswith(f"pcie-root-port,id={port},") for word in words)
    assert "dom0-iommu=strict" in value(words, "-append")
    assert "iommu" not in " ".join(command())


def test_a_pvh_dom0_has_amds_iommu():
    words = command(dom0="pvh", iommu=qemu.PVH_IOMMU)
    assert "amd-iommu,intremap=on" in words
    assert {"dom0=pvh", "dom0-iommu=strict"} <= set(value(words, "-append").split())
    assert "dom0=" not in value(command(), "-append")


def options(*words):
    return subcommands.lab_options(cli.parser().parse_args(["up", *words]))


def test_the_kind_of_dom0_reaches_the_machine(tmp_path):
    machine = session.machine(tmp_path, Path("/x/xen"), Path(), options("--dom0", "pvh"))
    assert (machine.dom0, machine.iommu) == ("pvh", "strict-amd")
    machine = session.machine(tmp_path, Path("/x/xen"), Path(), options())
    assert (machine.dom0, machine.iommu) == ("pv", None)


def test_a_pvh_dom0_excludes_vt_d():
    assert options("--dom0", "pvh", "--iommu", "strict-amd").dom0 == "pvh"
    with pytest.raises(LabError, match="--dom0 pvh does not work with --iommu strict:") as caught:
        options("--dom0", "pvh", "--iommu", "strict")
    assert caught.value.exit_code == EXIT_USAGE


def test_all_virtio_devices_are_behind_the_iommu():
    words = command(iommu="strict", guest_disk=True)
    devices = [words[at + 1] for at, word in enumerate(words) if word == "-device"]
    virtio = [device for device in devices if device.startswith("virtio")]
    assert len(virtio) == 3
    assert all("iommu_platform=on" in device for device in virtio)


def test_another_kernel_has_its_own_initramfs():
    assert value(command(), "-initrd").startswith("vmlinuz root=/dev/vda ")
    modules = value(command(kernel=Path("/k")), "-initrd").split(",")
    assert modules[0].startswith("/k/vmlinuz root=/dev/vda ")
    assert modules[1] == "/k/initramfs"


def test_xen_args_are_at_the_end_of_the_command_line():
    assert value(command(xen_args="loglvl=all"), "-append").endswith(" loglvl=all")


def test_writes_to_all_disks_are_discarded():
    drives = [word for word in command(guest_disk=True, iommu="strict") if word.startswith("id=")]
    drives += [line for line in qemu.HOTPLUG_COMMANDS if line.startswith("drive_add")]
    assert len(drives) == 3
    assert all("snapshot=on" in drive for drive in drives)


def test_a_compressed_hypervisor_is_uncompressed(tmp_path):
    packed = tmp_path / "xen.gz"
    packed.write_bytes(gzip.compress(b"\x7fELF"))
    assert prepare_image(packed, tmp_path).read_bytes() == b"\x7fELF"


def test_a_missing_hypervisor_is_an_error(tmp_path):
    with pytest.raises(LabError, match="nothing-here cannot be read: No such file"):
        prepare_image(tmp_path / "nothing-here", tmp_path)


def test_qemu_ends_with_the_process_that_started_it(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from lablib.qemu import start\n"
        f"log = Path({str(tmp_path / 'log')!r})\n"
        "child = start(['sleep', '600'], Path('/'), log, detached=False)\n"
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
        assert process_start(pid) is not None
        parent.kill()
    assert wait_until(lambda: process_start(pid) is None)


def test_the_directory_of_a_lab_that_has_ended_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    child = start(["sleep", "60"], Path("/"), tmp_path / "log", detached=True)
    facts = {"port": 1, "hypervisor": "stock", "exact": False, "iommu": None, "guest": False}
    record = Record(name="one", pid=child.pid, born=process_start(child.pid), **facts)
    record.directory.mkdir(parents=True)
    record.save()
    assert load("one") == record
    record.kill()
    child.wait()
    assert load("one") is None
    assert not record.directory.exists()


def test_other_checkouts_read_the_record_of_a_lab(tmp_path, monkeypatch):
    """They share the cache, and may have fewer or more fields."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pid = os.getpid()
    facts = {"port": 1, "hypervisor": "stock", "exact": False, "iommu": None, "guest": False}
    record = Record(name="one", pid=pid, born=process_start(pid), **facts)
    record.directory.mkdir(parents=True)
    record.save()
    file = record.directory / "record.json"
    written = json.loads(file.read_text())
    assert written.keys() == {"name", "pid", "born", *facts}
    file.write_text(json.dumps({**written, "added": "later"}))
    assert load("one") == record


def test_another_process_with_the_same_pid_is_not_the_lab():
    record = Record(
        "one", os.getpid(), (process_start(os.getpid()) or 0) - 1, 1, "stock", False, None, False
    )
    assert not record.alive()


@pytest.fixture
def booting(tmp_path, monkeypatch):
    """Return a function that starts a lab with a program in the place of QEMU."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "xengt/log").mkdir(parents=True)
    children = []

    def boot(*program):
        home = tmp_path / "xengt/run/one"
        home.mkdir(parents=True)
        (home / "console.log").write_text("")
        child = start([*program], home, home / "qemu.log", detached=True)
        children.append(child)
        return Record(
            "one", child.pid, process_start(child.pid) or 0, 1, "stock", False, None, False
        )

    yield boot
    for child in children:
        child.kill()
        child.wait()


def test_a_boot_without_output_is_an_error(booting, monkeypatch):
    monkeypatch.setattr(boot, "SILENCE_TIMEOUT", 0.3)
    with pytest.raises(LabError, match="the boot hung: no console output for 0 s"):
        boot.wait_for_dom0(booting("sleep", "60"), timeout=60)


def test_no_guest_is_started_without_a_toolstack(booting):
    record = booting("sleep", "60")
    session.require_toolstack(record)
    record.console.write_text("xengt-lab: limitation: Xen 4.99 rejects its calls\n")
    with pytest.raises(LabError, match=r"Xen 4\.99 rejects its calls") as caught:
        session.require_toolstack(record)
    assert "--granter self" in caught.value.remedy


def test_a_boot_that_exceeds_the_timeout_is_an_error(booting):
    record = booting("sh", "-c", "while :; do echo busy >> console.log; sleep 0.05; done")
    with pytest.raises(LabError, match="not ready after 1 s"):
        boot.wait_for_dom0(record, timeout=1)


def test_a_panic_is_an_error_and_the_console_log_is_kept(booting):
    record = booting("sh", "-c", "echo '(XEN) Panic on CPU 0:' >> console.log; sleep 60")
    with pytest.raises(LabError, match="Panic on CPU 0") as error:
        boot.wait_for_dom0(record, timeout=60)
    assert tail(error.value.log) == ["(XEN) Panic on CPU 0:"]


def test_the_error_has_the_message_of_qemu(booting):
    with pytest.raises(LabError, match="QEMU exited during the boot: no such machine"):
        boot.wait_for_dom0(booting("sh", "-c", "echo no such machine; sleep 0.2"), timeout=60)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["exit 7"], 7),
        (["sh -c 'kill -TERM $$'"], 128 + 15),
        (["true && false"], 1),
        (["sh", "-c", 'test "$1" = "a  b;c"', "sh", "a  b;c"], 0),
    ],
)
def test_exit_codes_and_arguments_pass_through_the_shell(words, expected):
    status = subprocess.run(["sh", "-c", line(words)], check=False).returncode
    assert status == expected


def test_modules_are_loaded_after_their_dependencies():
    table = initramfs.parse_dependencies(
        "a/ext4.ko.xz: a/jbd2.ko.xz a/crc16.ko.xz\na/jbd2.ko.xz:\na/crc16.ko.xz:\n"
    )
    assert initramfs.order(table, ("ext4", "built_in")) == [
        "a/crc16.ko.xz",
        "a/jbd2.ko.xz",
        "a/ext4.ko.xz",
    ]


def test_the_initramfs_is_a_newc_archive():
    """buffer-format.rst of Linux: 13 fields of 8 hex digits, all parts padded to 4 bytes."""
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


def test_a_kernel_without_modules_has_the_files_that_modprobe_reads(tmp_path):
    for name in ("usr/bin/busybox", "init", "6.12-x/modules.builtin", "6.12-x/build/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    data = initramfs.build_for(tmp_path / "6.12-x", tmp_path, tmp_path / "init")
    assert b"modules/order\0" in data
    assert b"lib/modules/6.12-x/modules.builtin\0" in data
    assert b"other" not in data


def test_compiled_files_are_not_packaged(tmp_path):
    for part in package.PARTS:
        path = tmp_path / part
        (path.parent if "." in path.name or path.name == "LICENSE" else path).mkdir(
            parents=True, exist_ok=True
        )
        if not path.is_dir():
            path.write_text("")
    for name in ("source.py", "compiled.so", "compiled.o"):
        (tmp_path / "xengt" / name).write_text("")
    names = {path.name for path in package.files(tmp_path)}
    assert "source.py" in names
    assert not names & {"compiled.so", "compiled.o"}


@pytest.mark.parametrize(("status", "expected"), [(5, 5), (0, LabError)])
def test_a_failed_command_has_precedence_over_a_missing_result(monkeypatch, status, expected):
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
    lab = Path(places.LAB / "lab")
    text = subprocess.run([lab, "--help"], check=True, capture_output=True, text=True).stdout
    for name in ("build", "run", "up", "ssh", "put", "get", "status", "down"):
        assert f"    {name} " in text
        done = subprocess.run([lab, name, "--help"], check=True, capture_output=True, text=True)
        assert shlex.quote("lab") in done.stdout
        assert "example: lab" in done.stdout


def test_vcpus_share_a_host_thread_by_default():
    assert value(command(), "-accel") == "tcg,thread=single"
    assert value(command(threads="multi"), "-accel") == "tcg,thread=multi"


def test_exact_and_threads_are_mutually_exclusive(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(["up", "--exact", "--threads", "multi"])
    assert ended.value.code == 2
    assert "--threads: not allowed with argument --exact" in capsys.readouterr().err


def test_a_name_too_long_for_the_monitor_is_an_error_and_leaves_no_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = "x" * 100
    with pytest.raises(LabError, match="too long for a Unix socket") as caught:
        session.up(name, session.Options(iommu="strict"), detached=False)
    assert "shorter --name" in caught.value.remedy
    assert not directory(name).exists()
