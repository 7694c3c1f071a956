"""`xengt serve --dry-run`: what a configuration shows without listening and without Xen."""

from pathlib import Path

from xengt.serve import config
from xengt.serve.http import listener, security


def validate(path: Path | None) -> list[str]:
    """Validate a configuration and the files that it names; return the deprecations.

    A port in use is not detected, because the agent that is to be reloaded may use it.

    Args:
        path: of the configuration; None for the defaults.

    Raises:
        UnmetError: the agent could not start or reload with it, or its certificate is not valid
            now; names the key or the file.
    """
    loaded = config.load(path)
    security.require_valid_now(loaded.listen)
    listener.require_local(loaded.listen)
    return config.deprecations(loaded)
