"""Rules of MISRA C that Xen's ECLAIR configuration enforces and a compiler can check, at each step.

- Rule 5.3: no declaration hides another one (-Wshadow).
- Rule 16.4: every switch has a default label (-Wswitch-default).
"""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.source.series import patches

from tests.hypervisor.userspace import FLAGS, HERE, prepare

STEPS = range(1, len(patches()) + 1)
RULES = ("-Wshadow", "-Wswitch-default")
#: Xen's files, without those of the harness that need the whole series; no output
ONLY = (
    *("-fsyntax-only", "-DXEN_FILES_ONLY", "-DNDEBUG"),
    *("-DHYPERVISOR=checked", '-DNAME="checked"'),
)
WARNING = re.compile(r"xen/([^/:]+):\d+:\d+: warning: (.*)")


def warnings(sources: Path) -> Counter[str]:
    """Return the warnings about Xen's files, without line numbers, and how often each occurs."""
    words = ["cc", *FLAGS, *ONLY, *RULES, f"-I{HERE / 'harness'}", f"-I{sources}"]
    words = [word for word in words if word != "-Werror"]
    done = subprocess.run(
        [*words, "-Wno-all", "-Wno-extra", HERE / "harness/hypervisor.c"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    return Counter(f"{file}: {message}" for file, message in WARNING.findall(done.stderr))


@pytest.fixture(scope="module")
def on_stock(stock_sources) -> Counter[str]:
    return warnings(stock_sources)


def test_the_compiler_reports_violations(stock_sources, tmp_path):
    """Both rules are violated in code added to a copy of stock."""
    sources = tmp_path / "sources"
    (sources / "xen").mkdir(parents=True)
    (sources / "public").symlink_to(stock_sources / "public")
    for file in (stock_sources / "xen").iterdir():
        (sources / "xen" / file.name).write_text(file.read_text())
    with (sources / "xen/grant_table.c").open("a") as file:
        file.write("int f(int n)\n{\n    { int n = 1; if ( n ) return 0; }\n")
        file.write("    switch ( n ) { case 1: return 2; }\n    return 3;\n}\n")
    added = warnings(sources) - warnings(stock_sources)
    assert sorted(message.rpartition("[")[2] for message in added) == [
        "-Wshadow]",
        "-Wswitch-default]",
    ]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_adds_no_violation(step, on_stock):
    sources = prepare(Cache(places.cache_root()), patches(step))
    assert warnings(sources) - on_stock == Counter()
