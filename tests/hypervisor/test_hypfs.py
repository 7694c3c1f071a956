"""Directory /gnttab/ in hypfs while domains come and go (patch 16).

Xen's hypfs.c and the part of grant_table.c that makes the directory are compiled with hypfs/.
"""

import re
import subprocess
from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.source.series import patches

from tests.hypervisor.changes import Change, apply_changes
from tests.hypervisor.userspace import link, prepare
from tests.patience import patient

HERE = Path(__file__).parent / "hypfs"
FLAGS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-sign-compare")
FILES = {
    "xen/include/xen/list.h": "list.h",
    "xen/include/xen/hypfs.h": "hypfs.h",
    "xen/common/hypfs.c": "hypfs.c",
    "xen/common/grant_table.c": "usage.c",
}
#: the part of grant_table.c
USAGE = re.compile(
    r"^/\* Mappings of grant references, made by a domain\. \*/.*?^#endif /\* CONFIG_HYPFS \*/$",
    re.MULTILINE | re.DOTALL,
)
#: Faults, and what the program says about them.
FAULTS = {
    "a lock is held while copying to the guest": Change(
        "        ret = hypfs_read_dyndir_id_entry(&gnttab_domdir, domid, !d, &uaddr);",
        "        spin_lock(&domlist_update_lock);\n"
        "        ret = hypfs_read_dyndir_id_entry(&gnttab_domdir, domid, !d, &uaddr);\n"
        "        spin_unlock(&domlist_update_lock);",
        file="usage.c",
    ),
    "RCU is held off while copying to the guest": Change(
        "    rcu_read_unlock(&domlist_read_lock);\n\n    if ( prev )",
        "    if ( prev )",
        file="usage.c",
    ),
    "more than the announced size is written": Change(
        "        d = next_domain_ref(d);\n        if ( d && dir_entry_size(d) > left )",
        "        d = next_domain_ref(d);\n        if ( false )",
        file="usage.c",
    ),
    "heap-use-after-free": Change(
        "          d && !get_domain(d);",
        "          d && !d;",
        file="usage.c",
    ),
    "a reference is left": Change(
        "    if ( d )\n        put_domain(d);",
        "    (void)d;",
        file="usage.c",
        function="gnttab_dir_exit",
    ),
    "a domain that existed throughout is missing": Change(
        "        if ( d && dir_entry_size(d) > left )",
        "        if ( d && dir_entry_size(d) >= left )",
        file="usage.c",
    ),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    prepared = prepare(Cache(places.cache_root()), patches(), FILES)
    into = tmp_path_factory.mktemp("hypfs") / "sources"
    copy = apply_changes(prepared, into, [])
    (usage,) = USAGE.findall((copy / "xen/usage.c").read_text())
    (copy / "xen/usage.c").write_text(usage)
    return copy


def run(sources: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """Compile and run the program."""
    program = link(into / "hypfs", ["hypfs/main.c"], sources, FLAGS, shared=False)
    return subprocess.run(
        [program], capture_output=True, text=True, check=False, timeout=patient(300)
    )


def test_domains_may_come_and_go_at_any_point(sources, tmp_path):
    done = run(sources, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 10_000


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_is_found(message, sources, tmp_path):
    done = run(apply_changes(sources, tmp_path / "faulty", [FAULTS[message]]), tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
