"""TLS: files that do not fit, expired certificates, and files replaced while the server runs."""

import logging
import os
import shutil
import socket
import ssl
import subprocess

import pytest

from tests.patience import patient
from tests.unit.http_fixtures import certificates, expire, make_certificate, serving
from xengt.errors import UnmetError
from xengt.serve.config import Listen
from xengt.serve.http.tls import RenewedContext, TlsOptions, create_context, validity_problem

__all__ = ["certificates"]  # fixtures


def options_in(directory) -> TlsOptions:
    return TlsOptions(directory / "crt", directory / "key")


def presented(address: str) -> bytes:
    """Return the certificate that a server presents."""
    host_name, _, port = address.partition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host_name, int(port)), timeout=patient(10)) as plain,
        context.wrap_socket(plain) as secure,
    ):
        return secure.getpeercert(binary_form=True)


def in_file(file) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text())


def test_a_key_of_another_certificate_is_an_error(certificates):
    make_certificate(certificates, "2")
    options = TlsOptions(certificates / "crt", certificates / "key2")
    with pytest.raises(UnmetError, match="the key is not the certificate's") as caught:
        create_context(options)
    assert str(certificates / "key2") in caught.value.what


def test_a_key_with_a_passphrase_is_an_error_and_asks_for_none(certificates):
    words = ["openssl", "pkey", "-in", "key", "-aes256", "-passout", "pass:secret", "-out", "key2"]
    subprocess.run(words, check=True, cwd=certificates, capture_output=True)
    (certificates / "key2").rename(certificates / "key")
    with pytest.raises(UnmetError, match="cannot set up TLS") as caught:
        create_context(options_in(certificates))
    assert "without a passphrase" in caught.value.remedy


def test_an_expired_certificate_is_detected(certificates, caplog):
    assert validity_problem(options_in(certificates)) is None
    RenewedContext(options_in(certificates))
    assert caplog.text == ""
    expire(certificates)
    assert validity_problem(options_in(certificates)) == "certificate has expired"
    RenewedContext(options_in(certificates))
    assert f"reject the certificate {certificates}/crt: certificate has expired" in caplog.text


@pytest.mark.parametrize("way", ["rename", "overwrite", "symlink"])
def test_a_replaced_certificate_is_used_at_the_next_handshake(certificates, caplog, way):
    """However it is replaced, and without a mixture of old and new while only one file is new."""
    caplog.set_level(logging.INFO)
    make_certificate(certificates, "2")
    old, new = (in_file(certificates / name) for name in ("crt", "crt2"))
    if way == "symlink":
        for name in ("crt", "key"):
            (certificates / name).rename(certificates / f"{name}1")
            (certificates / name).symlink_to(f"{name}1")

    def replace(name):
        source, target = certificates / f"{name}2", certificates / name
        if way == "overwrite":
            times = target.stat()
            target.write_bytes(source.read_bytes())
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
        elif way == "rename":
            source.rename(target)
        else:
            (certificates / "link").symlink_to(source.name)
            (certificates / "link").rename(target)

    files = [str(certificates / name) for name in ("crt", "key")]
    with serving(Listen("127.0.0.1", 0, *files)) as address:
        assert presented(address) == old
        replace("crt")
        assert [presented(address) for _ in range(3)] == [old] * 3
        assert caplog.text.count("the previous ones stay in use") == 1
        replace("key")
        assert presented(address) == new
    assert caplog.text.count("is in use") == 1


def test_a_removed_file_keeps_the_previous_certificate_in_use(certificates, caplog):
    context = RenewedContext(options_in(certificates))
    first = context.current()
    shutil.move(certificates / "key", certificates / "elsewhere")
    assert context.current() is context.current() is first
    (record,) = caplog.records
    assert "the previous ones stay in use" in record.message
    shutil.move(certificates / "elsewhere", certificates / "key")
    assert context.current() is not first


def test_unchanged_files_are_not_read_again(certificates):
    context = RenewedContext(options_in(certificates))
    assert context.current() is context.current()
