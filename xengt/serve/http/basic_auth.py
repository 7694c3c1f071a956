"""Basic authentication (RFC 7617) with bcrypt hashes, as exporter-toolkit has it."""

import base64
import binascii
import hmac
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping

from xengt.errors import UnmetError

#: a hash as of `htpasswd -nB`: version, cost, salt and digest
HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
#: bcrypt ignores or refuses what is longer
_LONGEST_PASSWORD = 72
#: accepted passwords that are remembered, because a check takes much CPU time
_REMEMBERED = 64


class PasswordCheck:
    """The users and the hashes of their passwords.

    Only accepted passwords are remembered, by a keyed digest, so that no client can displace them.

    Args:
        hashes: user → bcrypt hash; not empty.

    Raises:
        UnmetError: the Python module bcrypt is missing.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """Load bcrypt, which only this class needs."""
        try:
            import bcrypt  # noqa: PLC0415
        except ImportError as error:
            raise UnmetError(
                "basic_auth_users requires the Python module bcrypt, which is not installed",
                "install it: apt install python3-bcrypt, or pip install bcrypt",
            ) from error
        self._matches = bcrypt.checkpw
        self._hashes = {user.encode(): each.encode() for user, each in hashes.items()}
        self._secret = secrets.token_bytes(32)
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()  # also lets only one check at a time take a CPU

    def accepts(self, authorization: str) -> bool:
        """Return whether a request is authenticated.

        Args:
            authorization: its Authorization header; empty if there is none.
        """
        scheme, _, credentials = authorization.strip().partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            decoded = base64.b64decode(credentials.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        user, colon, password = decoded.partition(b":")
        return bool(colon) and self._is_password(user, password, decoded)

    def _is_password(self, user: bytes, password: bytes, decoded: bytes) -> bool:
        if b"\0" in password or len(password) > _LONGEST_PASSWORD:
            return False
        remembered = hmac.digest(self._secret, decoded, "sha256")
        if remembered in self._accepted:
            return True
        # A check of an unknown user takes as long, so that names cannot be guessed by the time.
        expected = self._hashes.get(user) or next(iter(self._hashes.values()))
        with self._lock:
            accepted = self._matches(password, expected) and user in self._hashes
            if accepted:
                self._accepted[remembered] = None
                if len(self._accepted) > _REMEMBERED:
                    self._accepted.popitem(last=False)
        return accepted
