"""The agent's configuration: a TOML file, every key of which may be left out.

[listen]
address = "127.0.0.1"
port = 9805
certificate = "/etc/xengt/tls.crt"      # with `key`: TLS
key = "/etc/xengt/tls.key"
client_ca = "/etc/xengt/clients.crt"    # then clients have to show a certificate of it

[probe]
enabled = true
interval_s = 15.0       # between the beginnings of two rounds, at least
cpu_budget = 0.01       # of one vCPU, on the average: rounds are fewer where they cost more
engines = ["hypercall", "gntdev"]
batches = [1, 32]
mappings = [1, 3]       # of each reference at once; the last one is timed
calls = 32              # timed in a round, of each case

[passive]
enabled = false         # dom0's kernel times its own grant calls, for some 8,000 instructions
                        # a call that maps and 10,000 one that unmaps (see xengt/serve/passive)

[host]
domains = 1000          # shown, by domid; the rest is counted
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
_MAX_PORT = 65_535
_MAX_CALLS = 10_000


@dataclass(frozen=True)
class Listen:
    """Where Prometheus finds the agent.

    Attributes:
        address: to bind.
        port: TCP; 0 takes any that is free.
        certificate: a file, for TLS; with `key`.
        key: of the certificate, a file.
        client_ca: certificates that a client's has to be signed by, a file.
    """

    address: str = "127.0.0.1"
    port: int = PORT
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None


@dataclass(frozen=True)
class ProbeOptions:
    """What the probe does, and what it may cost.

    Attributes:
        enabled: whether there is one.
        interval_s: seconds between the beginnings of two rounds, at least.
        cpu_budget: what it may take of one vCPU, on the average, 0 to 1.
        engines: `hypercall`, `gntdev`.
        batches: references a call.
        mappings: of each reference at once; the last one is timed.
        calls: timed in a round, of each case.
    """

    enabled: bool = True
    interval_s: float = 15.0
    cpu_budget: float = 0.01
    engines: tuple[EngineName, ...] = tuple(EngineName)
    batches: tuple[int, ...] = (1, 32)
    mappings: tuple[int, ...] = (1, 3)
    calls: int = 32


@dataclass(frozen=True)
class PassiveOptions:
    """What is told of the grants that dom0's kernel maps for its own.

    Attributes:
        enabled: whether the kernel times them.
    """

    enabled: bool = False


@dataclass(frozen=True)
class HostOptions:
    """What is told of the host.

    Attributes:
        domains: how many, the lowest domids first.
    """

    domains: int = 1000


@dataclass(frozen=True)
class Config:
    """All of it."""

    listen: Listen = field(default_factory=Listen)
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    passive: PassiveOptions = field(default_factory=PassiveOptions)
    host: HostOptions = field(default_factory=HostOptions)


Check = Callable[[Any], Any]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text is wanted")
    return value


def _file(value: object) -> str:
    path = Path(_text(value))
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return str(path)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")  # noqa: TRY004 (one kind of error for all)
    return value


def _whole(low: int, high: int) -> Check:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high} is wanted")
        return value

    return check


def _number(above: float, most: float) -> Check:
    def check(value: object) -> float:
        wrong = isinstance(value, bool) or not isinstance(value, int | float)
        if wrong or not above < float(value) <= most:  # type: ignore[arg-type]
            raise ValueError(f"a number above {above:g}, {most:g} at most, is wanted")
        return float(value)  # type: ignore[arg-type]

    return check


def _each(check: Check) -> Check:
    def all_of(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("a list that is not empty is wanted")
        return tuple(dict.fromkeys(check(each) for each in value))

    return all_of


def _engine(value: object) -> EngineName:
    return EngineName.parse(str(value))


_CHECKS: dict[str, tuple[type, dict[str, Check]]] = {
    "listen": (
        Listen,
        {
            "address": _text,
            "port": _whole(0, _MAX_PORT),
            "certificate": _file,
            "key": _file,
            "client_ca": _file,
        },
    ),
    "probe": (
        ProbeOptions,
        {
            "enabled": _flag,
            "interval_s": _number(0, 86_400),
            "cpu_budget": _number(0, 1),
            "engines": _each(_engine),
            "batches": _each(_whole(1, MAX_BATCH)),
            "mappings": _each(_whole(1, MAX_MAPPINGS)),
            "calls": _whole(1, _MAX_CALLS),
        },
    ),
    "passive": (PassiveOptions, {"enabled": _flag}),
    "host": (HostOptions, {"domains": _whole(0, 1 << 15)}),
}


def load(path: Path | None) -> Config:
    """Read a configuration.

    Args:
        path: the file; None for what holds without one.

    Raises:
        UnmetError: it cannot be read, or a key of it is not known or not what it should be.
    """
    if path is None:
        return Config()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnmetError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnmetError(f"{path} is not TOML: {error}") from error
    config = Config(**{name: _table(path, name, content) for name, content in tables.items()})
    if (config.listen.certificate is None) != (config.listen.key is None):
        raise _wrong(path, "listen.certificate and listen.key", "one does not go without the other")
    if config.listen.client_ca and not config.listen.certificate:
        raise _wrong(path, "listen.client_ca", "it goes with listen.certificate and listen.key")
    return config


def _table(path: Path, name: str, content: object) -> Any:  # noqa: ANN401 (one of four)
    if name not in _CHECKS or not isinstance(content, dict):
        raise _wrong(path, name, f"tables are {', '.join(_CHECKS)}")
    kind, checks = _CHECKS[name]
    found = {}
    for key, value in content.items():
        if key not in checks:
            known = ", ".join(each.name for each in fields(kind))
            raise _wrong(path, f"{name}.{key}", f"keys of {name} are {known}")
        try:
            found[key] = checks[key](value)
        except ValueError as error:
            raise _wrong(path, f"{name}.{key} = {value!r}", str(error)) from error
    return kind(**found)


def _wrong(path: Path, what: str, remedy: str) -> UnmetError:
    return UnmetError(f"{path}: {what} cannot be", remedy)
