"""The examples in xenlib_cffi/README.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import patient
from xenlib_cffi.loop import LoopEngine

ROOT = Path(__file__).parents[3]
README = (ROOT / "xenlib_cffi" / "README.md").read_text(encoding="utf-8")
IMPORTS, *EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
#: module and class of each example
SUBJECTS = [re.search(r"(\w+)\.([A-Z]\w+)\(", example).groups() for example in EXAMPLES]
#: output of the examples that the fake of libxencall and libxengnttab can run
OUTPUTS = {
    "Call": r"",
    "GrantMapper": re.escape(f"{(7 << 32 | 8).to_bytes(8, 'little')}\n"),
    "ThreadShare": r"\d+ [\d.]+\n",
}


def test_there_is_an_example_of_each_library():
    assert {module for module, _ in SUBJECTS} == {
        *("call", "gnttab", "ctrl", "foreignmemory", "evtchn", "hypfs", "loop"),
    }


def test_the_table_has_each_engine_and_its_file():
    rows = re.findall(r"^\| `([A-Z_]+)` \|.*\| `(\w+\.c)` \|$", README, re.MULTILINE)
    measured = [each.name for each in LoopEngine if each is not LoopEngine.EMPTY]
    assert [name for name, _ in rows] == [
        name for name in measured if not name.startswith("REFUSED_")
    ]
    assert all((ROOT / "xenlib_cffi" / "csrc" / file).is_file() for _, file in rows)


@pytest.mark.parametrize(
    ("name", "example"),
    [(name, example) for (_, name), example in zip(SUBJECTS, EXAMPLES, strict=True)],
    ids=[name for _, name in SUBJECTS],
)
def test_an_example_runs_up_to_the_first_device_that_the_fake_lacks(on_fake_xen, name, example):
    if name in OUTPUTS:
        assert re.fullmatch(OUTPUTS[name], on_fake_xen(IMPORTS + example))
        return
    if Path("/dev/xen").exists():
        pytest.skip("this machine runs on Xen")
    indented = "".join(f"    {line}" for line in example.splitlines(keepends=True))
    out = on_fake_xen(f"""
{IMPORTS}
from xenlib_cffi.errors import XenLibraryError
try:
{indented}
except XenLibraryError as error:
    print(error.call.endswith("_open"))
""")
    assert out == "True\n"


def test_the_calls_of_the_examples_have_the_right_types(tmp_path):
    program = tmp_path / "examples.py"
    program.write_text("\n".join([IMPORTS, *EXAMPLES]), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull),
            *("--cache-dir", tmp_path / "cache", program),
        ],
        env=os.environ | {"MYPYPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=patient(300),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
