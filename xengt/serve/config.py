"""The agent's configuration: a TOML file in which every key is optional.

[listen]
address = "127.0.0.1"
port = 9805
web_config = "/etc/xengt/web.yml"   # TLS and passwords, as of all exporters of Prometheus

[probe]
enabled = true
interval_s = 15.0       # shortest time between the starts of two rounds
cpu_budget = 0.01       # highest average CPU time, as a fraction of one vCPU
engines = ["hypercall", "gntdev"]
batches = [1, 32]       # references per call
mappings = [1, 3]       # mappings of each reference at once; the last one is timed
calls = 32              # timed calls of each case in a round

[passive]
enabled = false         # have dom0's kernel time its own grant calls, which adds about 8,000
                        # instructions to a map call and 10,000 to an unmap call
                        # (see xengt/serve/passive)

[host]
domains = 1000          # domains with per-domain series, lowest domids first
profile = "full"        # or "lean": histograms with few buckets, for fleets
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from xengt.bench.case import MAX_MAPPINGS
from xengt.bench.engines.names import EngineName
from xengt.errors import UnmetError
from xenlib_cffi.call import MAX_BATCH

PORT = 9805
#: remedy of every error in the configuration that has no closer one
MANUAL = "see xengt-serve.toml(5)"
#: of the page; the first is the default
PROFILES = ("full", "lean")
_MAX_PORT = 65_535
_MAX_CALLS = 10_000
_MAX_INTERVAL_S = 86_400
_MAX_DOMAINS = 1 << 15
#: keys of [listen] that the next version does not have any more → the key of the web configuration
DEPRECATED = {
    "certificate": "tls_server_config.cert_file",
    "key": "tls_server_config.key_file",
    "client_ca": "tls_server_config.client_ca_file",
}


@dataclass(frozen=True)
class Listen:
    """The [listen] table: where the agent serves its metrics.

    Attributes:
        address: IP address or host name to bind.
        port: TCP port; 0 selects a free one.
        certificate, key, client_ca: PEM files of TLS, deprecated: the web configuration has them.
        web_config: web configuration of exporter-toolkit, with TLS and passwords.
    """

    address: str = "127.0.0.1"
    port: int = PORT
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    web_config: str | None = None


PROBE_ENGINES = (EngineName.HYPERCALL, EngineName.GNTDEV, EngineName.COPY)
"""Engines that the probe can use."""


@dataclass(frozen=True)
class ProbeOptions:
    """The [probe] table: what the probe measures, and its CPU budget.

    Attributes:
        enabled: whether the agent has a probe.
        interval_s: shortest time between the starts of two rounds in seconds.
        cpu_budget: highest average CPU time, as a fraction of one vCPU, 0 to 1.
        engines: of `PROBE_ENGINES`.
        batches: references per call.
        mappings: of each reference at once; the last one is timed. Copies make none.
        calls: timed calls of each case in a round.
    """

    enabled: bool = True
    interval_s: float = 15.0
    cpu_budget: float = 0.01
    engines: tuple[EngineName, ...] = (EngineName.HYPERCALL, EngineName.GNTDEV)
    batches: tuple[int, ...] = (1, 32)
    mappings: tuple[int, ...] = (1, 3)
    calls: int = 32


@dataclass(frozen=True)
class PassiveOptions:
    """The [passive] table: passive latencies, of grant calls that dom0's kernel makes anyway.

    Attributes:
        enabled: whether the kernel times its grant calls.
    """

    enabled: bool = False


@dataclass(frozen=True)
class HostOptions:
    """The [host] table: metrics of the host.

    Attributes:
        domains: how many domains have per-domain series, the lowest domids first.
        profile: `full`, or `lean`: histograms with few buckets, and medians beside them.
    """

    domains: int = 1000
    profile: str = PROFILES[0]


@dataclass(frozen=True)
class Config:
    """The whole configuration."""

    listen: Listen = field(default_factory=Listen)
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    passive: PassiveOptions = field(default_factory=PassiveOptions)
    host: HostOptions = field(default_factory=HostOptions)


#: Takes the name of a key and its value, and returns the value as the program uses it. Raises
#: ValueError with a sentence that names the key.
Validator = Callable[[str, object], Any]


def _invalid(key: str, requirement: str, value: object) -> ValueError:
    return ValueError(f"{key} must be {requirement}, not {value!r}")


def _string(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _invalid(key, "a non-empty string", value)
    return value


def _readable_file(key: str, value: object) -> str:
    path = Path(_string(key, value))
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"{key}: {path} cannot be read: {error.strerror}") from error
    return str(path)


def _boolean(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _invalid(key, "true or false", value)
    return value


def _integer(low: int, high: int) -> Validator:
    def validate(key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _invalid(key, f"an integer from {low} to {high}", value)
        return value

    return validate


def _number(above: float, most: float) -> Validator:
    def validate(key: str, value: object) -> float:
        wrong = isinstance(value, bool) or not isinstance(value, int | float)
        if wrong or not above < float(value) <= most:  # type: ignore[arg-type]
            raise _invalid(key, f"a number greater than {above:g} and at most {most:g}", value)
        return float(value)  # type: ignore[arg-type]

    return validate


def _engine(key: str, value: object) -> EngineName:
    if value not in PROBE_ENGINES:
        raise _invalid(key, f"one of {', '.join(PROBE_ENGINES)}", value)
    return EngineName(str(value))


def _profile(key: str, value: object) -> str:
    if value not in PROFILES:
        raise _invalid(key, f"one of {', '.join(PROFILES)}", value)
    return str(value)


def _list_of(element: Validator) -> Validator:
    def validate(key: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise _invalid(key, "a non-empty list", value)
        elements = (element(f"{key}[{index}]", each) for index, each in enumerate(value))
        return tuple(dict.fromkeys(elements))

    return validate


_TABLES: dict[str, tuple[type, dict[str, Validator]]] = {
    "listen": (
        Listen,
        {
            "address": _string,
            "port": _integer(0, _MAX_PORT),
            "certificate": _readable_file,
            "key": _readable_file,
            "client_ca": _readable_file,
            "web_config": _readable_file,
        },
    ),
    "probe": (
        ProbeOptions,
        {
            "enabled": _boolean,
            "interval_s": _number(0, _MAX_INTERVAL_S),
            "cpu_budget": _number(0, 1),
            "engines": _list_of(_engine),
            "batches": _list_of(_integer(1, MAX_BATCH)),
            "mappings": _list_of(_integer(1, MAX_MAPPINGS)),
            "calls": _integer(1, _MAX_CALLS),
        },
    ),
    "passive": (PassiveOptions, {"enabled": _boolean}),
    "host": (HostOptions, {"domains": _integer(0, _MAX_DOMAINS), "profile": _profile}),
}


def load(path: Path | None) -> Config:
    """Read and validate a configuration.

    Args:
        path: the file; None for the defaults.

    Raises:
        UnmetError: the file cannot be read or is not TOML, or one of its keys is unknown or has
            an invalid value; names the key.
    """
    if path is None:
        return Config()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnmetError(f"{path} cannot be read: {error.strerror}", MANUAL) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnmetError(f"{path} is not TOML: {error}", MANUAL) from error
    config = Config(**{name: _table(path, name, content) for name, content in tables.items()})
    if (config.listen.certificate is None) != (config.listen.key is None):
        raise UnmetError(
            f"{path}: listen.certificate and listen.key must be set together",
            "set both keys, or neither",
        )
    if config.listen.client_ca and not config.listen.certificate:
        raise UnmetError(
            f"{path}: listen.client_ca requires listen.certificate and listen.key",
            "set all three keys, or remove listen.client_ca",
        )
    if config.listen.web_config and config.listen.certificate:
        raise UnmetError(
            f"{path}: listen.web_config and listen.certificate cannot be used together",
            f"name the files in {config.listen.web_config}",
        )
    return config


def deprecations(config: Config) -> list[str]:
    """Return a sentence for each deprecated key that a configuration has.

    Args:
        config: the configuration.
    """
    return [
        f"listen.{key} is deprecated and will be removed in the next version; set {replacement} "
        "in the file named by listen.web_config"
        for key, replacement in DEPRECATED.items()
        if getattr(config.listen, key) is not None
    ]


def _table(path: Path, name: str, content: object) -> Any:  # noqa: ANN401 (one of four)
    if name not in _TABLES or not isinstance(content, dict):
        raise UnmetError(
            f"{path}: {name} is not a table of the configuration",
            f"the tables are {', '.join(f'[{each}]' for each in _TABLES)}",
        )
    kind, validators = _TABLES[name]
    values = {}
    for key, value in content.items():
        if key not in validators:
            known = ", ".join(each.name for each in fields(kind))
            raise UnmetError(
                f"{path}: {name}.{key} is not a known key", f"the keys of [{name}] are {known}"
            )
        try:
            values[key] = validators[key](f"{name}.{key}", value)
        except ValueError as error:
            raise UnmetError(f"{path}: {error}", MANUAL) from error
    return kind(**values)
