"""The patched hypervisor's package: its name, version, and entry in GRUB's menu."""

import fnmatch
import re
import subprocess

import pytest
from hvlib import build
from hvlib.names import IMAGE, PACKAGE, SCRIPT
from lablib import places
from lablib.errors import LabError
from lablib.source.series import Patch

NOTE = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
STOCK = """\
#!/bin/sh
cat <<'CFG'
menuentry 'Debian GNU/Linux, with Xen hypervisor' --class xen $menuentry_id_option 'simple' {
\tsavedefault
\tsearch --no-floppy --fs-uuid --set=root 1234
\techo\t'Loading Xen 4.20-amd64 ...'
        if [ "$grub_platform" = "pc" ]; then
            xen_rm_opts=
        fi
\tmultiboot2\t/boot/xen-4.20-amd64.gz placeholder dom0_mem=1G  ${xen_rm_opts}
\tmodule2\t/boot/vmlinuz-6.12 placeholder root=UUID=1234 ro quiet
\tmodule2\t--nounzip   /boot/initrd.img-6.12
}
submenu 'Advanced options' {
\tmenuentry 'another' {
\t}
}
CFG
"""


def test_the_build_id_is_read_from_the_elf_note():
    image = b"\x7fELF" + NOTE + bytes(range(20)) + b"more"
    assert build.build_id(image) == bytes(range(20)).hex()


@pytest.mark.parametrize("image", [b"\x7fELF", NOTE + b"a" * 20 + NOTE + b"b" * 20])
def test_an_image_without_a_unique_build_id_is_refused(image):
    with pytest.raises(LabError, match="build ids"):
        build.build_id(image)


def test_the_version_depends_on_source_variant_and_series():
    one, two = Patch("1.patch", b"x"), Patch("2.patch", b"y")
    versions = {
        build.version("4.20.3-0\n", "patched", series)
        for series in ([one], [two], [one, two], [two, one])
    }
    assert len(versions) == 4
    assert all(version.startswith("4.20.3-0+xengt.patched.") for version in versions)
    # Debian ends the upstream version at the last hyphen.
    assert "-" not in build.version("4.20.3", "patched-debug", [one])


def test_the_timestamp_is_the_newest_changelog_entrys():
    text = "xen (4) s; u=m\n\n -- A <a@b>  Thu, 01 Jan 1970 01:00:00 +0000\n\n -- B <b@c>  x\n"
    assert build.epoch(text) == 3600


def test_20_linux_xen_ignores_the_patched_image():
    assert not fnmatch.fnmatch(f"/{IMAGE}", "/boot/xen*")


def test_the_script_sorts_after_debians_scripts():
    assert f"/{SCRIPT}" > "/etc/grub.d/41_custom"


@pytest.fixture
def script(tmp_path):
    """Return the package's script for /etc/grub.d, next to a replacement of 20_linux_xen."""
    built = tmp_path / "built"
    built.mkdir()
    (built / "xen").write_bytes(NOTE + b"\xab" * 20)
    (built / ".config").write_text("")
    build._lay_out(tmp_path, built, "4.20-test", [])
    text = (tmp_path / "tree" / SCRIPT).read_text().replace("/boot/hyp", f"{tmp_path}/boot/hyp")
    (tmp_path / "boot").mkdir()
    (tmp_path / IMAGE).write_text("")
    for name, content in (("45_xengt", text), ("20_linux_xen", STOCK)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    return tmp_path / "45_xengt"


def run(script):
    path = {"PATH": "/usr/bin:/bin"}
    return subprocess.run([script], env=path, capture_output=True, text=True, check=True)


def test_the_entry_is_the_stock_entry_with_another_hypervisor(script):
    text = run(script).stdout
    assert "$menuentry_id_option 'xengt' {" in text
    assert text.count("menuentry ") == 1
    (xen,) = [line for line in text.splitlines() if " multiboot2 " in line]
    assert xen.partition(";")[0].split() == [
        "if",
        "multiboot2", f"/{IMAGE}", "placeholder", "dom0_mem=1G",
        "${xen_rm_opts}", "${xengt_xen}", "${xengt_args}",
    ]  # fmt: skip
    assert (
        "\tmodule2\t/boot/vmlinuz-6.12 placeholder root=UUID=1234 ro quiet ${xengt_linux}\n" in text
    )
    assert "\tmodule2\t--nounzip   /boot/initrd.img-6.12\n}" in text
    assert "savedefault" not in text
    assert f'"${{xengt_confirmed}}" = "{"ab" * 20}"' in text


def test_the_confirmation_is_cleared_if_the_image_does_not_load(script):
    text = run(script).stdout
    (load,) = [line for line in text.splitlines() if " multiboot2 " in line]
    assert load.endswith("; then true; else xengt_stock; fi")
    assert "set xengt_confirmed=\n  if save_env xengt_confirmed; then reboot; fi\n" in text


def test_there_is_no_entry_without_the_image(script):
    (script.parent / IMAGE).unlink()
    assert run(script).stdout == ""


def test_there_is_no_entry_without_a_stock_entry(script):
    (script.parent / "20_linux_xen").write_text("#!/bin/sh\n")
    done = run(script)
    assert done.stdout == ""
    assert "creates no entry for the stock hypervisor" in done.stderr


def test_all_placeholders_are_replaced(script):
    for path in script.parent.rglob("tree/**/*"):
        if path.is_file():
            # BUILD replaces the other two after compression.
            assert set(re.findall(r"@[A-Z_0-9]+@", path.read_text())) <= {"@SHA256@", "@SIZE@"}
    control = (script.parent / "tree/DEBIAN/control").read_text()
    assert f"Package: {PACKAGE}\n" in control
    assert "Depends: grub2-common, xen-hypervisor-4.20-amd64\n" in control
    # Both packages have the same maintainer, without an address that might belong to somebody.
    debian = (places.TREE / "deploy/debian/control").read_text()
    (maintainer,) = re.findall(r"(?m)^Maintainer: .+ <.+\.invalid>$", control)
    assert maintainer in debian.splitlines()
    assert "Provides" not in control  # it must not satisfy dependencies on Debian's hypervisor


@pytest.mark.parametrize("name", ["build", "install", "confirm", "remove"])
def test_help_has_example_and_exit_codes(name):
    command = build.TEMPLATES.parent / name
    output = subprocess.run([command, "--help"], check=True, capture_output=True, text=True).stdout
    assert "example:\n" in output
    assert "exit codes: 0 done; 2 " in output


def test_an_unknown_option_exits_with_2():
    command = build.TEMPLATES.parent / "confirm"
    assert subprocess.run([command, "--x"], check=False, capture_output=True).returncode == 2
