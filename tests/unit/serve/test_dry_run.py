"""`xengt serve --dry-run`: what is detected without Xen and without listening."""

import subprocess

import pytest

from tests.patience import patient
from tests.unit.agent_fixtures import (
    taken_port,
    write_config,
)
from tests.unit.http_fixtures import certificates, expire, make_certificate

__all__ = [  # fixtures
    "certificates",
    "taken_port",
]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [("[probe]\ncalls = 3", 0, ""), ("[probe]\ncals = 3", 2, "probe.cals is not a known key")],
)
def test_a_dry_run_validates_the_configuration_without_xen(tmp_path, text, code, message):
    config = write_config(tmp_path, text)
    command = ["python3", "-m", "xengt", "serve", "--dry-run", "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert bool(done.stderr) == bool(message)


@pytest.fixture
def dry_run(tmp_path):
    """A function that validates the configuration of a [listen] table."""

    def run(listen):
        words = ["python3", "-m", "xengt", "serve", "--dry-run", "--config"]
        words.append(write_config(tmp_path, f"[listen]\n{listen}"))
        return subprocess.run(
            words, capture_output=True, text=True, timeout=patient(60), check=False
        )

    return run


def test_a_dry_run_detects_an_address_of_another_host(dry_run, taken_port):
    assert dry_run(f"port = {taken_port}").returncode == 0  # perhaps the running agent has it
    done = dry_run("address = '203.0.113.1'")
    assert done.returncode == 2
    assert "cannot listen on 203.0.113.1:9805: Cannot assign requested address" in done.stderr


def test_a_dry_run_validates_the_certificate(dry_run, certificates):
    def validate():
        return dry_run(f"certificate = '{certificates}/crt'\nkey = '{certificates}/key'")

    done = validate()
    assert done.returncode == 0, done.stderr
    assert "listen.certificate is deprecated" in done.stderr
    expire(certificates)
    done = validate()
    assert done.returncode == 2
    assert f"reject the certificate {certificates}/crt: certificate has expired" in done.stderr
    make_certificate(certificates, "2")
    (certificates / "key2").rename(certificates / "key")
    done = validate()
    assert done.returncode == 2
    assert "the key is not the certificate's" in done.stderr


def test_a_dry_run_validates_the_web_configuration(dry_run, certificates):
    file = certificates / "web.yml"
    file.write_text("tls_server_config: {cert_file: crt, key_file: key}")
    done = dry_run(f"web_config = '{file}'")
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text("tls_server_config: {cert_file: crt, key_file: none}")
    done = dry_run(f"web_config = '{file}'")
    assert done.returncode == 2
    assert f"{certificates}/none" in done.stderr
