"""The agent's configuration: every key, and what is wrong with one."""

import pytest

from tests.unit.serving import written
from xengt.errors import UnmetError
from xengt.serve.config import (
    Config,
    HostOptions,
    Listen,
    PassiveOptions,
    ProbeOptions,
    load,
)


def test_without_a_file_it_is_what_holds(tmp_path):
    assert load(None) == load(written(tmp_path, "")) == Config()
    assert (Config().listen.address, Config().listen.port) == ("127.0.0.1", 9805)


def test_every_key_is_taken(tmp_path):
    for name in ("crt", "key", "ca"):
        (tmp_path / name).write_text("x")
    found = load(
        written(
            tmp_path,
            f"""
            [listen]
            address = "::1"
            port = 1
            certificate = "{tmp_path}/crt"
            key = "{tmp_path}/key"
            client_ca = "{tmp_path}/ca"
            [probe]
            enabled = false
            interval_s = 2
            cpu_budget = 0.5
            engines = ["gntdev"]
            batches = [4, 4, 8]
            mappings = [2]
            calls = 7
            [passive]
            enabled = true
            [host]
            domains = 3
            """,
        )
    )
    files = (str(tmp_path / name) for name in ("crt", "key", "ca"))
    assert found == Config(
        Listen("::1", 1, *files),
        ProbeOptions(False, 2.0, 0.5, ("gntdev",), (4, 8), (2,), 7),
        PassiveOptions(enabled=True),
        HostOptions(3),
    )


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("[nowhere]", "nowhere", "listen, probe, passive, host"),
        ("listen = 3", "listen", "listen, probe, passive, host"),
        ("[listen]\nport = 1\nprot = 2", "listen.prot", "port"),
        ("[listen]\naddress = 5", "listen.address", "text"),
        ("[listen]\nport = 65536", "listen.port", "65535"),
        ("[listen]\nport = true", "listen.port", "whole number"),
        ('[listen]\ncertificate = "/none"', "listen.certificate", "No such file"),
        ('[listen]\nkey = "/none"', "listen.key", "No such file"),
        ('[listen]\nclient_ca = "/none"', "listen.client_ca", "No such file"),
        ('[listen]\ncertificate = "/dev/null"', "listen.certificate and listen.key", "one"),
        ('[listen]\nclient_ca = "/dev/null"', "listen.client_ca", "certificate"),
        ("[probe]\nenabled = 1", "probe.enabled", "true or false"),
        ("[probe]\ninterval_s = 0", "probe.interval_s", "above 0"),
        ("[probe]\ncpu_budget = 1.5", "probe.cpu_budget", "1 at most"),
        ("[probe]\ncpu_budget = nan", "probe.cpu_budget", "1 at most"),
        ('[probe]\nengines = ["privcmd"]', "probe.engines", "hypercall, gntdev"),
        ("[probe]\nbatches = []", "probe.batches", "not empty"),
        ("[probe]\nbatches = [0]", "probe.batches", "from 1"),
        ("[probe]\nmappings = [4]", "probe.mappings", "to 3"),
        ("[probe]\ncalls = 1.5", "probe.calls", "whole number"),
        ("[passive]\nenabled = 'no'", "passive.enabled", "true or false"),
        ("[host]\ndomains = -1", "host.domains", "from 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, what, remedy):
    with pytest.raises(UnmetError) as caught:
        load(written(tmp_path, text))
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UnmetError, match="cannot be read"):
        load(tmp_path / "none")
    with pytest.raises(UnmetError, match="not TOML"):
        load(written(tmp_path, "[listen"))
