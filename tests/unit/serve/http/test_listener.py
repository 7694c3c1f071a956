"""The listening socket: addresses that overlap, and what may change by itself."""

import errno
import socket

import pytest

from xengt.errors import UnmetError
from xengt.serve.config import Listen
from xengt.serve.http import listener
from xengt.serve.http.listener import AddressUnavailableError, open_listener, require_local

#: of a network for documentation (RFC 5737), which no host has
FOREIGN = "203.0.113.1"


@pytest.mark.parametrize(("old", "new"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])  # noqa: S104
def test_an_overlapping_address_replaces_the_socket_and_shares_the_port_with_nobody(old, new):
    with open_listener(Listen(old, 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(UnmetError, match="Address already in use"):
            open_listener(Listen(new, port))
        with open_listener(Listen(new, port), replaced=first) as second:
            first.close()
            socket.create_connection(("127.0.0.1", port)).close()
            for address in (old, new):
                with pytest.raises(UnmetError, match="Address already in use"):
                    open_listener(Listen(address, port))
            assert second.getsockname() == (new, port)


def test_an_address_of_another_host_may_come_later():
    with pytest.raises(AddressUnavailableError, match=f"cannot listen on {FOREIGN}:1") as caught:
        open_listener(Listen(FOREIGN, 1))
    assert "Cannot assign requested address" in caught.value.what
    assert "listen.address" in caught.value.remedy


def test_the_interface_of_an_address_may_come_later():
    with pytest.raises(AddressUnavailableError, match=r"cannot listen on \[fe80::1%xenbr99\]:9805"):
        open_listener(Listen("fe80::1%xenbr99"))


def test_a_port_in_use_is_no_matter_of_time():
    with open_listener(Listen(port=0)) as taken, pytest.raises(UnmetError) as caught:
        open_listener(Listen(port=taken.getsockname()[1]))
    assert not isinstance(caught.value, AddressUnavailableError)
    assert "ss -ltnp" in caught.value.remedy


@pytest.mark.parametrize(
    ("number", "is_temporary"), [(socket.EAI_AGAIN, True), (socket.EAI_NONAME, False)]
)
def test_a_name_that_dns_does_not_know_is_no_matter_of_time(monkeypatch, number, is_temporary):
    def resolve(*_, **__):
        raise socket.gaierror(number, "of getaddrinfo")

    monkeypatch.setattr(listener.socket, "getaddrinfo", resolve)
    with pytest.raises(UnmetError, match=r"cannot listen on name:9805: of getaddrinfo") as caught:
        open_listener(Listen("name"))
    assert isinstance(caught.value, AddressUnavailableError) == is_temporary


@pytest.mark.parametrize("name", ["x" * 64 + ".example", "\udcff"])
def test_a_name_that_is_no_name_is_an_error(name):
    with pytest.raises(UnmetError, match="cannot listen on"):
        open_listener(Listen(name))


def test_the_scope_of_a_link_local_address_is_bound(monkeypatch):
    bound = []
    monkeypatch.setattr(listener, "_bind_and_listen", lambda _, address, __: bound.append(address))
    index = socket.if_nametoindex("lo")
    open_listener(Listen("fe80::1%lo", 0)).close()
    assert bound == [("fe80::1", 0, 0, index)]


def test_whether_an_address_is_local_is_found_without_its_port():
    with open_listener(Listen(port=0)) as taken:
        require_local(Listen(port=taken.getsockname()[1]))
    with pytest.raises(AddressUnavailableError) as caught:
        require_local(Listen(FOREIGN))
    assert caught.value.__cause__.errno == errno.EADDRNOTAVAIL
