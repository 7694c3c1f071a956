"""install, confirm and remove on a simulated box: what it boots, also if a command is killed."""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hvlib import commands
from hvlib.box import Box, BoxError

from tests.unit import fake_box

IMAGE = "the hypervisor"
BUILD_ID = "ab" * 20


@dataclass
class Fake:
    """A simulated box, and a model of its GRUB."""

    root: Path

    @property
    def block(self) -> Path:
        return self.root / "boot/grub/grubenv"

    def package(self, build_id=BUILD_ID, **fields) -> Path:
        deb = self.root / "our.deb"
        sha256 = hashlib.sha256(IMAGE.encode()).hexdigest()
        values = {"Package": "xen-hypervisor-4.20-xengt", "Version": "1", "image": IMAGE}
        ids = {"Xengt-Build-Id": build_id, "Xengt-Sha256": sha256}
        deb.write_text(json.dumps({**values, **ids, **fields}))
        return deb

    def box(self) -> Box:
        return fake_box.FakeBox(self.root)

    def set_running(self, build_id: str) -> None:
        (self.root / "sys/hypervisor/properties/buildid").write_bytes(bytes.fromhex(build_id))

    def variables(self) -> dict[str, str]:
        return fake_box.read_block(self.block) if self.block.exists() else {}

    def boot(self) -> str:
        """Return what GRUB boots by the logic of grub.cfg, and clear next_entry."""
        variables = self.variables()
        text = (self.root / "boot/grub/grub.cfg").read_text()
        entry = variables.get("next_entry", "")
        if entry:
            fake_box.write_block(self.block, {**variables, "next_entry": ""})
        elif f'= "{variables.get("xengt_confirmed")}"' in text:
            entry = "xengt"
        return entry if f"'{entry}'" in text else fake_box.STOCK

    def content(self) -> dict[str, bytes]:
        """Return all files except those of the replaced programs."""
        files = [p for d in ("boot", "var", "etc") for p in (self.root / d).rglob("*")]
        return {str(p): p.read_bytes() for p in files if p.is_file()}

    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("bin", "boot/grub", "var/lib", "etc", "sys/hypervisor/properties"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").write_text(fake_box.CONFIGURATION)
    (tmp_path / "abstraction").write_text("")
    (tmp_path / "fs").write_text("ext2")
    (tmp_path / "pending").write_text("")
    fake = Fake(tmp_path)
    fake_box.write_block(fake.block, {"saved_entry": "x"})
    fake.set_running("00" * 20)
    return fake


def run_killed(fake: Fake, kill: tuple[str, int], command) -> bool:
    """Run a command in a process that is killed at a program call; return whether it was."""
    (fake.root / "calls").write_text("")
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            command(fake_box.FakeBox(fake.root, kill))
            os._exit(0)
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, fake_box.KILLED}
    return status == fake_box.KILLED


def test_install_boots_the_patched_hypervisor_once(fake):
    commands.install(fake.box(), fake.package(), "")
    assert [fake.boot() for _ in range(3)] == ["xengt", fake_box.STOCK, fake_box.STOCK]


def test_a_second_install_only_selects_the_next_boot(fake):
    deb = fake.package()
    commands.install(fake.box(), deb, "")
    fake.boot()
    commands.install(fake.box(), deb, "loglvl=all")
    assert sum(call.startswith("dpkg --install") for call in fake.calls()) == 1
    assert fake.variables()["xengt_args"] == "loglvl=all"
    assert [fake.boot() for _ in range(2)] == ["xengt", fake_box.STOCK]
    commands.install(fake.box(), deb, "")
    assert "xengt_args" not in fake.variables()


def test_the_confirmed_hypervisor_is_the_default_until_removed(fake):
    before = fake.content()
    commands.install(fake.box(), fake.package(), "")
    fake.boot()
    fake.set_running(BUILD_ID)
    commands.confirm(fake.box())
    commands.confirm(fake.box())
    assert [fake.boot() for _ in range(2)] == ["xengt", "xengt"]
    commands.remove(fake.box())
    assert fake.boot() == fake_box.STOCK
    assert fake.content() == before
    commands.remove(fake.box())


@pytest.mark.parametrize("variables", [None, {}, {"next_entry": ""}])
def test_remove_restores_the_environment_block(fake, variables):
    if variables is None:
        fake.block.unlink()
    else:
        fake_box.write_block(fake.block, variables)
    before = fake.content()
    commands.install(fake.box(), fake.package(), "loglvl=all")
    fake.boot()
    commands.remove(fake.box())
    assert fake.content() == before


def test_confirmation_is_valid_for_one_build_only(fake):
    commands.install(fake.box(), fake.package(), "")
    fake.set_running(BUILD_ID)
    commands.confirm(fake.box())
    commands.install(fake.box(), fake.package(build_id="cd" * 20), "")
    assert [fake.boot() for _ in range(2)] == ["xengt", fake_box.STOCK]
    # Nor is a build confirmed that was installed by apt.
    fake_box.write_block(fake.block, {"xengt_confirmed": BUILD_ID})
    assert fake.boot() == fake_box.STOCK


def test_confirm_refuses_a_hypervisor_that_is_not_running(fake):
    with pytest.raises(BoxError, match="not installed") as refused:
        commands.confirm(fake.box())
    assert refused.value.exit_code == 2
    commands.install(fake.box(), fake.package(), "")
    with pytest.raises(BoxError, match="running Xen has build id 0000") as refused:
        commands.confirm(fake.box())
    assert refused.value.exit_code == 2
    (fake.root / "sys/hypervisor/properties/buildid").unlink()
    with pytest.raises(BoxError, match="Xen is not running"):
        commands.confirm(fake.box())
    fake.set_running(BUILD_ID)
    (fake.root / "boot/hypervisor-xengt-4.20-amd64.gz").write_text("garbled")
    with pytest.raises(BoxError, match="does not match the package"):
        commands.confirm(fake.box())
    fake.boot()
    assert fake.boot() == fake_box.STOCK


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("before", ["fresh", "confirmed"])
def test_the_default_is_stock_wherever_install_is_killed(fake, when, before):
    number, was_killed = 1, True
    while was_killed:
        if before == "confirmed":
            commands.install(fake.box(), fake.package(build_id="cd" * 20), "")
            fake.boot()
            fake.set_running("cd" * 20)
            commands.confirm(fake.box())
        deb = fake.package()
        was_killed = run_killed(
            fake, (when, number), lambda box, deb=deb: commands.install(box, deb, "x=y")
        )
        calls = fake.calls()
        writes = [c for c in calls if "grubenv unset" in c or "grubenv set" in c]
        armed = not was_killed or (when == "after" and "next_entry=xengt" in calls[-1])
        disarmed = len(writes) > 1 or (writes and when == "after")
        first = fake.boot()
        if armed:
            assert first == "xengt"
        elif before == "fresh" or disarmed:
            assert first == fake_box.STOCK, calls[-1]
        if before == "fresh" or disarmed:
            assert fake.boot() == fake_box.STOCK, calls[-1]
        # The interrupted installation can be completed and removed.
        commands.install(fake.box(), fake.package(), "")
        assert [fake.boot() for _ in range(2)] == ["xengt", fake_box.STOCK]
        commands.remove(fake.box())
        number += 1
    assert number > 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_default_is_stock_wherever_remove_is_killed(fake, when):
    content = fake.content()
    number, was_killed = 1, True
    while was_killed:
        commands.install(fake.box(), fake.package(), "x=y")
        fake.boot()
        fake.set_running(BUILD_ID)
        commands.confirm(fake.box())
        was_killed = run_killed(fake, (when, number), commands.remove)
        calls = fake.calls()
        begun = any("unset" in c for c in calls[:-1]) or ("unset" in calls[-1] and when == "after")
        assert fake.boot() == (fake_box.STOCK if begun else "xengt"), calls[-1]
        commands.remove(fake.box())
        assert fake.content() == content
        number += 1
    assert number > 5


def test_a_failed_dpkg_install_is_undone(fake):
    before = fake.content()
    with pytest.raises(BoxError, match=r"`dpkg --install .* exited with 1"):
        commands.install(fake.box(), fake.package(exit=1), "")
    assert fake.content() == before


def test_install_is_undone_if_regenerating_changes_other_parts_of_grub_cfg(fake):
    before = fake.content()
    (fake.root / "pending").write_text("set default=surprise\n")
    with pytest.raises(BoxError, match="changed more than the entry of the patched hypervisor"):
        commands.install(fake.box(), fake.package(), "")
    assert fake.content() == before


def test_install_refuses_an_image_with_another_checksum(fake):
    deb = fake.package(image="something else")
    with pytest.raises(BoxError, match="does not match the package"):
        commands.install(fake.box(), deb, "")
    assert fake.boot() == fake_box.STOCK


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("abstraction", "lvm", "on lvm, where GRUB cannot write"),
        ("abstraction", "diskfilter mdraid1x", "on diskfilter, mdraid1x"),
        ("fs", "btrfs", "on btrfs, where GRUB cannot write"),
        ("fs", "zfs", "on zfs"),
        ("boot/grub/grubenv", "short", "not a plain file of 1024 bytes"),
        ("boot/grub/grub.cfg", "menuentry 'Linux'", "does not use next_entry"),
        (
            "boot/grub/grub.cfg",
            fake_box.CONFIGURATION.replace("20_linux_xen", "10_linux"),
            "no entry for Debian's Xen",
        ),
        (
            "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
            "\6\0\0\0\1",
            "Secure Boot is enabled",
        ),
        ("our.deb", '{"Package": "hello"}', "contains the package hello"),
    ],
)
def test_install_refuses_a_box_that_could_not_fall_back_to_stock(fake, file, content, message):
    deb = fake.package()
    path = fake.root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    before = fake.content()
    with pytest.raises(BoxError, match=message) as refused:
        commands.install(fake.box(), deb, "")
    assert refused.value.exit_code == 2
    assert refused.value.remedy
    assert fake.content() == before


def test_install_refuses_to_override_another_next_entry(fake):
    fake_box.write_block(fake.block, {"next_entry": "memtest"})
    before = fake.content()
    with pytest.raises(BoxError, match="`memtest` is already selected for the next boot"):
        commands.install(fake.box(), fake.package(), "")
    assert fake.content() == before


def test_remove_asks_for_a_reboot_if_the_patched_hypervisor_is_running(fake, capsys):
    commands.install(fake.box(), fake.package(), "")
    fake.set_running(BUILD_ID)
    commands.remove(fake.box())
    assert "still running: reboot to start the stock hypervisor" in capsys.readouterr().out


def test_a_missing_program_is_reported(fake):
    with pytest.raises(BoxError, match="grub-probe is not installed") as refused:
        Box(fake.root, search_path="/nowhere").run("grub-probe")
    assert refused.value.exit_code == 2


def test_commands_require_root(fake, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for command in (
        lambda: commands.install(fake.box(), fake.package(), ""),
        lambda: commands.confirm(fake.box()),
        lambda: commands.remove(fake.box()),
    ):
        with pytest.raises(BoxError, match="only root") as refused:
            command()
        assert refused.value.exit_code == 2
