"""The agent's configuration: every key, and the errors for invalid ones."""

import pytest

from tests.unit.agent_fixtures import write_config
from xengt.errors import UnmetError
from xengt.serve.config import (
    MANUAL,
    Config,
    HostOptions,
    Listen,
    PassiveOptions,
    ProbeOptions,
    deprecations,
    load,
)

TABLES = "the tables are [listen], [probe], [passive], [host]"
LISTEN = "the keys of [listen] are address, port, certificate, key, client_ca, web_config"


def test_without_a_file_all_keys_have_their_defaults(tmp_path):
    assert load(None) == load(write_config(tmp_path, "")) == Config()
    assert (Config().listen.address, Config().listen.port) == ("127.0.0.1", 9805)


def test_every_key_is_loaded(tmp_path):
    for name in ("crt", "key", "ca"):
        (tmp_path / name).write_text("x")
    found = load(
        write_config(
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
            profile = "lean"
            """,
        )
    )
    files = (str(tmp_path / name) for name in ("crt", "key", "ca"))
    assert found == Config(
        Listen("::1", 1, *files),
        ProbeOptions(False, 2.0, 0.5, ("gntdev",), (4, 8), (2,), 7),
        PassiveOptions(enabled=True),
        HostOptions(3, "lean"),
    )


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("host.profile = 1", "host.profile must be one of full, lean, not 1", MANUAL),
        ("[nowhere]", "nowhere is not a table of the configuration", TABLES),
        ("listen = 3", "listen is not a table of the configuration", TABLES),
        ("[listen]\nport = 1\nprot = 2", "listen.prot is not a known key", LISTEN),
        ("[listen]\naddress = 5", "listen.address must be a non-empty string, not 5", MANUAL),
        ("[listen]\naddress = ''", "listen.address must be a non-empty string, not ''", MANUAL),
        (
            "[listen]\nport = 65536",
            "listen.port must be an integer from 0 to 65535, not 65536",
            MANUAL,
        ),
        (
            "[listen]\nport = true",
            "listen.port must be an integer from 0 to 65535, not True",
            MANUAL,
        ),
        *(
            (
                f'[listen]\n{key} = "/none"',
                f"listen.{key}: /none cannot be read: No such file or directory",
                MANUAL,
            )
            for key in ("certificate", "key", "client_ca", "web_config")
        ),
        (
            '[listen]\ncertificate = "/dev/null"',
            "listen.certificate and listen.key must be set together",
            "set both keys, or neither",
        ),
        (
            '[listen]\nclient_ca = "/dev/null"',
            "listen.client_ca requires listen.certificate and listen.key",
            "set all three keys, or remove listen.client_ca",
        ),
        (
            "[listen]\ncertificate = '/dev/null'\nkey = '/dev/null'\nweb_config = '/dev/null'",
            "listen.web_config and listen.certificate cannot be used together",
            "name the files in /dev/null",
        ),
        ("[probe]\nenabled = 1", "probe.enabled must be true or false, not 1", MANUAL),
        (
            "[probe]\ninterval_s = 0",
            "probe.interval_s must be a number greater than 0 and at most 86400, not 0",
            MANUAL,
        ),
        (
            "[probe]\ncpu_budget = 1.5",
            "probe.cpu_budget must be a number greater than 0 and at most 1, not 1.5",
            MANUAL,
        ),
        (
            "[probe]\ncpu_budget = nan",
            "probe.cpu_budget must be a number greater than 0 and at most 1, not nan",
            MANUAL,
        ),
        (
            '[probe]\nengines = ["privcmd"]',
            "probe.engines[0] must be one of hypercall, gntdev, copy, not 'privcmd'",
            MANUAL,
        ),
        ("[probe]\nbatches = []", "probe.batches must be a non-empty list, not []", MANUAL),
        (
            "[probe]\nbatches = [1, 0]",
            "probe.batches[1] must be an integer from 1 to 512, not 0",
            MANUAL,
        ),
        (
            "[probe]\nmappings = [4]",
            "probe.mappings[0] must be an integer from 1 to 3, not 4",
            MANUAL,
        ),
        ("[probe]\ncalls = 1.5", "probe.calls must be an integer from 1 to 10000, not 1.5", MANUAL),
        ("[passive]\nenabled = 'no'", "passive.enabled must be true or false, not 'no'", MANUAL),
        ("[host]\ndomains = -1", "host.domains must be an integer from 0 to 32768, not -1", MANUAL),
    ],
)
def test_an_error_names_the_key_and_what_it_must_be(tmp_path, text, what, remedy):
    file = write_config(tmp_path, text)
    with pytest.raises(UnmetError) as caught:
        load(file)
    assert (caught.value.what, caught.value.remedy) == (f"{file}: {what}", remedy)


def test_the_web_configuration_replaces_deprecated_keys(tmp_path):
    (tmp_path / "web.yml").write_text("")
    loaded = load(write_config(tmp_path, f"listen.web_config = '{tmp_path}/web.yml'"))
    assert loaded.listen.web_config == f"{tmp_path}/web.yml"
    assert deprecations(loaded) == []
    keys = "listen.certificate = '/dev/null'\nlisten.key = '/dev/null'"
    found = deprecations(load(write_config(tmp_path, keys)))
    assert [each.partition(" ")[0] for each in found] == ["listen.certificate", "listen.key"]
    assert all("listen.web_config" in each for each in found)


def test_a_file_that_cannot_be_read_or_parsed_is_an_error(tmp_path):
    with pytest.raises(UnmetError, match="cannot be read"):
        load(tmp_path / "none")
    with pytest.raises(UnmetError, match="not TOML"):
        load(write_config(tmp_path, "[listen"))
