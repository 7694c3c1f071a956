"""Basic authentication: who is accepted, and what a refused password costs and leaves."""

import base64

import bcrypt
import pytest

from xengt.serve.http import basic_auth
from xengt.serve.http.basic_auth import HASH, PasswordCheck

SECRET = "sécret:\N{SNOWMAN}"  # noqa: S105 (of this test)


@pytest.fixture(scope="module")
def hashes():
    return {
        "a": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode(),
        "b": bcrypt.hashpw(b"", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
    }


def credentials(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (credentials("a", SECRET), True),
        (credentials("a", SECRET).replace("Basic", "bAsIc "), True),
        (credentials("b", ""), True),
        (credentials("a", "wrong"), False),
        (credentials("a", ""), False),
        (credentials("b", SECRET), False),
        (credentials("c", SECRET), False),
        (credentials("a", SECRET + "\0"), False),
        (credentials("a", SECRET + "x" * 100), False),
        ("", False),
        ("Basic", False),
        ("Basic ====", False),
        ("Basic \xff", False),
        ("Basic " + base64.b64encode(b"a").decode(), False),
        ("Bearer " + credentials("a", SECRET)[6:], False),
    ],
)
def test_who_is_accepted(hashes, authorization, expected):
    check = PasswordCheck(hashes)
    assert [check.accepts(authorization) for _ in range(2)] == [expected] * 2


def test_accepted_passwords_are_checked_once_and_refused_ones_displace_none(hashes, monkeypatch):
    checked = []

    def matches(password, expected):
        checked.append(password)
        return bcrypt.checkpw(password, expected)

    check = PasswordCheck(hashes)
    monkeypatch.setattr(check, "_matches", matches)
    for number in range(100):
        assert check.accepts(credentials("a", SECRET))
        assert not check.accepts(credentials("a", str(number)))
    assert checked.count(SECRET.encode()) == 1
    assert len(check._accepted) == 1


def test_an_unknown_user_costs_as_much_as_a_wrong_password(hashes, monkeypatch):
    checked = []
    check = PasswordCheck(hashes)
    monkeypatch.setattr(check, "_matches", lambda *_: checked.append(1) or True)
    assert not check.accepts(credentials("unknown", "x"))
    assert len(checked) == 1


def test_what_is_remembered_is_limited(hashes, monkeypatch):
    monkeypatch.setattr(basic_auth, "_REMEMBERED", 3)
    check = PasswordCheck(hashes)
    monkeypatch.setattr(check, "_matches", lambda *_: True)
    for number in range(10):
        assert check.accepts(credentials("a", str(number)))
    assert len(check._accepted) == 3


@pytest.mark.parametrize("cost", ["03", "32", "4"])
def test_a_hash_has_a_cost_that_bcrypt_knows(hashes, cost):
    assert HASH.fullmatch(hashes["a"])
    assert not HASH.fullmatch(hashes["a"].replace("$04$", f"${cost}$"))
