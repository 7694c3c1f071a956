"""A simulated test box: a directory with GRUB's files, and replacements of its programs."""

import contextlib
import io
import json
import os
from pathlib import Path

from hvlib.box import Box, BoxError

KILLED = 137
STOCK = "Debian GNU/Linux, with Xen hypervisor"
CONFIGURATION = f"""\

### BEGIN /etc/grub.d/00_header ###
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
else
   set default="{STOCK}"
fi
### END /etc/grub.d/00_header ###

### BEGIN /etc/grub.d/20_linux_xen ###
menuentry '{STOCK}' $menuentry_id_option 'xen-gnulinux-simple' {{
}}
### END /etc/grub.d/20_linux_xen ###
"""
OURS = """
### BEGIN /etc/grub.d/45_xengt ###
if [ "${{xengt_confirmed}}" = "{id}" ]; then
menuentry 'Xen' $menuentry_id_option 'xengt' {{
}}
### END /etc/grub.d/45_xengt ###
"""
SIGNATURE = "# GRUB Environment Block\n"
SIZE = 1024


def read_block(path: Path) -> dict[str, str]:
    lines = path.read_text().removeprefix(SIGNATURE).splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def write_block(path: Path, variables: dict[str, str]) -> None:
    text = SIGNATURE + "".join(f"{name}={value}\n" for name, value in variables.items())
    path.write_text(text.ljust(SIZE, "#"))


class Programs:
    """Replacements of grub-* and dpkg-*, acting on the files below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.status = root / "status.json"
        self.configuration = root / "boot/grub/grub.cfg"

    def grub_editenv(self, path: str, command: str, *words: str) -> int:
        block = Path(path)
        variables = read_block(block) if block.exists() else {}
        if command == "list":
            print("".join(f"{name}={value}\n" for name, value in variables.items()), end="")
            return 0
        if command == "set":
            variables.update(word.split("=", 1) for word in words)
        elif command == "unset":
            variables = {n: v for n, v in variables.items() if n not in words}
        write_block(block, variables)
        return 0

    def grub_probe(self, target: str, _: str) -> int:
        print((self.root / target.removeprefix("--target=")).read_text())
        return 0

    def dpkg_deb(self, _: str, deb: str, field: str) -> int:
        print(json.loads(Path(deb).read_text()).get(field, ""))
        return 0

    def dpkg_query(self, _: str, form: str, __: str) -> int:
        if not self.status.exists():
            return 1
        field = form.removeprefix("--showformat=${").removesuffix("}")
        known = json.loads(self.status.read_text())
        print(
            {"db:Status-Abbrev": "ii", "db:Status-Status": "installed"}.get(field) or known[field]
        )
        return 0

    def dpkg(self, command: str, what: str) -> int:
        text = self.configuration.read_text().partition("\n### BEGIN /etc/grub.d/45_xengt")[0]
        image = self.root / "boot/hypervisor-xengt-4.20-amd64.gz"
        if command == "--purge":
            self.configuration.write_text(text)
            image.unlink(missing_ok=True)
            self.status.unlink(missing_ok=True)
            return 0
        deb = json.loads(Path(what).read_text())
        self.status.write_text(json.dumps(deb))
        image.write_text(deb["image"])
        pending = (self.root / "pending").read_text()
        self.configuration.write_text(text + pending + OURS.format(id=deb["Xengt-Build-Id"]))
        return int(deb.get("exit", 0))


class FakeBox(Box):
    """A box that can kill the process at a program call.

    Args:
        root: directory of the box.
        kill: `before` or `after`, and the number of the call.
    """

    def __init__(self, root: Path, kill: tuple[str, int] = ("never", 0)) -> None:
        super().__init__(root)
        self.kill = kill

    def run(self, *command: str | Path, show_output: bool = False) -> str:
        words = [str(word) for word in command]
        with (self.root / "calls").open("a") as file:
            file.write(" ".join(words) + "\n")
        number = len((self.root / "calls").read_text().splitlines())
        if self.kill == ("before", number):
            os._exit(KILLED)
        program = getattr(Programs(self.root), words[0].replace("-", "_"))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = program(*words[1:])
        if self.kill == ("after", number):
            os._exit(KILLED)
        if status:
            raise BoxError(f"`{' '.join(words)}` exited with {status}")
        return "" if show_output else out.getvalue()
