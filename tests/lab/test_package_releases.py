"""xengt installed on Debian 13 and Debian 12, each in a chroot without Xen, and removed."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
from lablib import places
from lablib.artifacts import package
from lablib.cache import Cache
from typer.main import get_command

from tests.lab.certificates import Authority
from tests.lab.debian_chroot import Chroot, chroot
from xengt import __version__
from xengt.cli import app

pytestmark = [pytest.mark.long, pytest.mark.untimed]

DEBIAN = places.TREE / "deploy" / "debian"
#: Lists all files without logs, caches and the records of apt, dpkg and the account tools, and then
#: the users and groups.
FILES = r"""
find / -xdev \( -path /proc -o -path /dev -o -path /run -o -path /tmp -o -path /root \
    -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune \
    -o ! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' ! -name 'gshadow-' ! -name .pwd.lock \
    ! -name __pycache__ ! -path '/etc/ld.so.cache' -print | sort
find /run -name '*xengt*'
getent passwd; getent group
"""
INSTALLED = "dpkg-query --show --showformat '${db:Status-Status} ${Package}\\n' | grep ^installed"
PURGE = "DEBIAN_FRONTEND=noninteractive apt-get -q purge"


@dataclass(frozen=True)
class Host:
    """A chroot with xengt.

    Attributes:
        chroot: the chroot.
        suite: codename of its release.
        files: output of `FILES` before the installation.
        packages: output of `INSTALLED` before the installation.
    """

    chroot: Chroot
    suite: str
    files: str
    packages: str


def install_package(found: Chroot, _where: Path) -> None:
    """Install the package as a user does."""
    found.put(package.build(Cache(places.cache_root()), 2))
    found.check_output("DEBIAN_FRONTEND=noninteractive apt-get -q install ./xengt.deb", 600)


def install_environment(found: Chroot, where: Path) -> None:
    """Install xengt as deploy/debian/README.md describes it for Debian 12.

    pip downloads outside of the chroot, because its configuration is that of this machine.
    """
    project = tomllib.loads((places.TREE / "pyproject.toml").read_text())
    wheels = where / "wheels"
    options = ("--only-binary=:all:", "--python-version=3.11", f"--dest={wheels}")
    needed = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    subprocess.run([sys.executable, "-m", "pip", "-q", "download", *options, *needed], check=True)
    clone = where / "clone"
    for file in package.files(places.TREE):
        target = clone / file.relative_to(places.TREE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    found.put(wheels, clone)
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/root/wheels"}
    found.check_output("clone/deploy/debian/debian-12 install", 600, **offline)


#: release → how xengt is installed, and the command that removes it
RELEASES = {
    "trixie": (install_package, f"{PURGE} xengt"),
    "bookworm": (install_environment, "clone/deploy/debian/debian-12 remove"),
}


@pytest.fixture(scope="module", params=RELEASES)
def host(request, tmp_path_factory) -> Iterator[Host]:
    suite = request.param
    install, _ = RELEASES[suite]
    with chroot(suite, tmp_path_factory.mktemp(suite)) as found:
        before = Host(found, suite, found.check_output(FILES), found.check_output(INSTALLED))
        install(found, tmp_path_factory.mktemp("install"))
        yield before


# The order matters: the last test removes xengt.


def test_the_commands_that_need_no_xen_work(host):
    assert host.chroot.check_output("xengt --version") == f"xengt {__version__}\n"
    assert "frames" in host.chroot.check_output("xengt plan --vifs 4 --vbds 2")
    host.chroot.put(DEBIAN / "tests" / "without-xen")
    # The virtual environment has another python3.
    done = host.chroot.run("PATH=/opt/xengt/bin:$PATH sh without-xen")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_prints_its_help(host):
    for name in get_command(app).commands:
        assert f"xengt {name}" in host.chroot.check_output(f"xengt {name} --help")


@pytest.mark.parametrize("command", ["check", "serve --config /etc/xengt/serve.toml"])
def test_without_xen_the_cause_is_named(host, command):
    done = host.chroot.run(f"xengt {command}")
    assert done.returncode == 2
    assert "Linux does not run on Xen" in " ".join((done.stdout + done.stderr).split())


def test_the_agent_reads_certificates_and_passwords(host, tmp_path):
    host.chroot.put(*Authority(tmp_path).sign("host"))
    host.chroot.check_output("echo 'listen.web_config = \"/root/web.yml\"' >web.toml")
    tls = "tls_server_config: {cert_file: host.crt, key_file: host.key}"
    users = 'basic_auth_users: {user: "%s"}'
    hashed = bcrypt.hashpw(b"word", bcrypt.gensalt(4)).decode()
    for text, code in ((f"{tls}\n{users % hashed}", 0), (f"{tls}\n{users % 'plain'}", 2)):
        done = host.chroot.run(f"echo '{text}' >web.yml; xengt serve --dry-run --config web.toml")
        assert done.returncode == code, done.stdout + done.stderr


def test_systemd_of_the_release_accepts_the_unit(host):
    done = host.chroot.run("systemd-analyze verify --man=yes xengt.service")
    assert done.returncode == 0, done.stderr
    # On Debian 12, a drop-in replaces the type, which systemd 252 does not know.
    ours = [line for line in done.stderr.splitlines() if "xengt" in line]
    assert [line for line in ours if "ignoring: notify-reload" not in line] == []
    enabled = host.chroot.check_output("systemctl is-enabled xengt.service")
    assert enabled == "enabled\n"
    assert host.chroot.check_output("id -un xengt") == "xengt\n"


def test_man_pages_and_completion_are_in_place(host):
    assert "xengt plan" in host.chroot.check_output("man xengt")
    assert "web_config" in host.chroot.check_output("man xengt-serve.toml")
    words = host.chroot.check_output(
        "set +eu; . /usr/share/bash-completion/bash_completion; "
        "__load_completion xengt 2>/dev/null || _comp_load xengt; complete -p xengt; "
        "COMP_WORDS=(xengt pl) COMP_CWORD=1; "
        '_xengt_completion xengt; echo "${COMPREPLY[@]}"'
    )
    assert words.splitlines()[-1] == "plan"


def test_removal_leaves_nothing(host):
    _, remove = RELEASES[host.suite]
    host.chroot.check_output("touch /etc/xengt/tls.key")
    host.chroot.check_output(remove)
    more = set(host.chroot.check_output(INSTALLED).splitlines()) - set(host.packages.splitlines())
    names = " ".join(line.split()[1] for line in more)
    host.chroot.check_output(f"{PURGE} {names}", 600)
    assert host.chroot.check_output(FILES).splitlines() == host.files.splitlines()
