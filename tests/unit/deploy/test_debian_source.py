"""The Debian source package, assembled from the tree; tests/lab checks the binary package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[3]
DEBIAN = TREE / "deploy" / "debian"
#: debhelper's lists of files in the tree
LISTS = ("docs", "examples", "install", "manpages")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The assembled source tree."""
    target = tmp_path_factory.mktemp("package") / "xengt"
    subprocess.run([DEBIAN / "assemble", target], check=True)
    return target


def test_every_listed_file_is_in_the_source_package(source):
    listed = [
        line.split()[0]
        for name in LISTS
        for line in (source / "debian" / f"xengt.{name}").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert {"README.md", "debian/serve.toml", "deploy/prometheus/*.rules.yml"} <= set(listed)
    # The build makes the completion scripts.
    made = set(re.findall(r"> (debian/\S+)", (source / "debian" / "rules").read_text()))
    assert len(made) == 3
    assert made <= set(listed)
    for pattern in set(listed) - made:
        assert list(source.glob(pattern)), pattern
    assert not [path for path in source.rglob("*") if path.suffix in {".so", ".o", ".pyc"}]


def test_all_dashboards_rules_and_alert_texts_are_packaged():
    installed = (DEBIAN / "xengt.install").read_text()
    for words in ("deploy/grafana/*.json", "deploy/prometheus/*.rules.yml", "xengt-runbook.html"):
        assert words in installed


def test_an_existing_directory_is_refused(source):
    command = [DEBIAN / "assemble", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{source} exists already: name a new directory\n"


@pytest.mark.skipif(shutil.which("lintian") is None, reason="no lintian here")
def test_lintian_finds_no_problem_in_the_source_package(source):
    subprocess.run(["dpkg-source", "--build", source.name], cwd=source.parent, check=True)
    (description,) = source.parent.glob("*.dsc")
    # Debian 12's lintian does not know the version of Debian 13's policy.
    options = ["--fail-on=error,warning", "--suppress-tags=newer-standards-version"]
    command = ["lintian", "--display-info", *options, description]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_packages_own_tests_name_their_commands_and_schemas(source):
    script = source / "debian" / "tests" / "without-xen"
    assert script.stat().st_mode & 0o111
    schemas = re.findall(r"for command in (.*); do", script.read_text())[0].split()
    assert schemas == [
        path.name.removesuffix(".schema.json")
        for path in sorted((TREE / "xengt" / "documents").glob("*.schema.json"))
    ]
    assert "Tests: without-xen\n" in (source / "debian" / "tests" / "control").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_unit_with_the_drop_in_for_debian_12_is_valid(tmp_path):
    program = tmp_path / "xengt"
    program.symlink_to(sys.executable)
    for name, target in (
        ("xengt.service", tmp_path / "xengt.service"),
        ("debian-12.conf", tmp_path / "xengt.service.d" / "debian-12.conf"),
    ):
        target.parent.mkdir(exist_ok=True)
        text = (DEBIAN / name).read_text()
        target.write_text(re.sub(r"(?m)^(ExecStart=)/\S+", rf"\g<1>{program}", text))
    command = ["systemd-analyze", "verify", "--man=no", tmp_path / "xengt.service"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # systemd 252 ignores the type of the package's unit, which the drop-in replaces.
    ours = [line for line in done.stderr.splitlines() if "xengt" in line]
    assert [line for line in ours if "Failed to parse service type" not in line] == []
