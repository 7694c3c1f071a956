"""exporter-toolkit's web configuration: every supported key, and the errors for others."""

import base64
import ssl
import subprocess
import sys

import bcrypt
import pytest

from tests.unit.http_fixtures import certificates, make_certificate, request, serving
from xengt.errors import UnmetError
from xengt.serve.config import Listen
from xengt.serve.http import web_config
from xengt.serve.http.tls import TlsOptions
from xengt.serve.http.web_config import WebConfig

__all__ = ["certificates"]  # fixtures

#: as `htpasswd -nB` prints it
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def write(directory, text):
    file = directory / "web.yml"
    file.write_text(text)
    return file


def test_every_supported_key_is_loaded(tmp_path):
    file = write(
        tmp_path,
        f"""
        tls_server_config:
          cert_file: tls/crt
          key_file: /absolute/key
          client_auth_type: RequireAndVerifyClientCert
          client_ca_file: ca
          client_allowed_sans: [client]
          min_version: TLS13
          max_version: TLS13
          prefer_server_cipher_suites: true
        http_server_config:
          http2: true
          headers:
            X-Frame-Options: deny
        basic_auth_users:
          prometheus: {HASH}
        """,
    )
    assert web_config.load(file) == WebConfig(
        TlsOptions(
            tmp_path / "tls/crt",
            tmp_path.joinpath("/absolute/key"),
            tmp_path / "ca",
            ssl.CERT_REQUIRED,
            frozenset({"client"}),
            ssl.TLSVersion.TLSv1_3,
            ssl.TLSVersion.TLSv1_3,
        ),
        {"prometheus": HASH},
        {"X-Frame-Options": "deny"},
    )


def test_an_empty_file_protects_nothing(tmp_path):
    assert web_config.load(write(tmp_path, "")) == WebConfig()


TLS = "tls_server_config: {cert_file: crt, key_file: key, "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("[]", "the file must be a mapping"),
        ("rate_limit: {}", "rate_limit is unknown or not supported"),
        ("tls_server_config: 3", "tls_server_config must be a mapping"),
        ("tls_server_config: {cert_file: crt}", "tls_server_config requires cert_file and key_fil"),
        (TLS + "cipher_suites: []}", "tls_server_config.cipher_suites is unknown or not supported"),
        (TLS + "min_version: TLS10}", "min_version must be one of TLS12, TLS13, not 'TLS10'"),
        (TLS + "client_auth_type: RequireAnyClientCert}", "must be one of NoClientCert, Verify"),
        (TLS + "client_ca_file: ca}", "client_ca_file and a client_auth_type that verifies"),
        (TLS + "client_auth_type: VerifyClientCertIfGiven}", "must be set together"),
        (TLS + "client_allowed_sans: [x]}", "client_allowed_sans requires client_auth_type"),
        (TLS + "client_allowed_sans: x}", "client_allowed_sans must be a list"),
        (TLS + "cert_file: 3}", "cert_file must be a non-empty string, not 3"),
        (TLS + "prefer_server_cipher_suites: 3}", "must be true or false, not 3"),
        ("http_server_config: {http2: 3}", "http_server_config.http2 must be true or false, not 3"),
        ("http_server_config: {headers: {Set-Cookie: x}}", "headers.Set-Cookie is unknown"),
        ('http_server_config: {headers: {X-Frame-Options: "a\\r\\nb"}}', "must be one line"),
        ("basic_auth_users: {a: secret}", "the password of 'a' must be a bcrypt hash"),
        ("basic_auth_users: {true: x}", "must be a mapping with strings as keys"),
        (f"basic_auth_users: {{'a:b': '{HASH}'}}", "'a:b' must not contain a colon"),
    ],
)
def test_an_error_names_the_key(tmp_path, text, message):
    file = write(tmp_path, text)
    with pytest.raises(UnmetError) as caught:
        web_config.load(file)
    assert caught.value.what.startswith(str(file))
    assert message in caught.value.what
    assert "xengt-serve.toml(5)" in caught.value.remedy
    assert "secret" not in caught.value.what


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(UnmetError, match="cannot be read: No such file"):
        web_config.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("module", "package", "text"),
    [
        ("yaml", "python3-yaml", ""),
        ("bcrypt", "python3-bcrypt", f"basic_auth_users: {{a: {HASH}}}"),
    ],
)
def test_a_missing_module_is_an_error_with_a_remedy(tmp_path, monkeypatch, module, package, text):
    monkeypatch.setitem(sys.modules, module, None)
    listen = Listen("127.0.0.1", 0, web_config=str(write(tmp_path, text)))
    match = f"requires the Python module {module}"
    with pytest.raises(UnmetError, match=match) as caught, serving(listen):
        pass
    assert f"apt install {package}" in caught.value.remedy


def test_headers_and_authentication_apply_to_all_answers(tmp_path):
    text = f"""
    http_server_config: {{headers: {{X-Frame-Options: deny}}}}
    basic_auth_users: {{a: {HASH}}}
    """
    listen = Listen("127.0.0.1", 0, web_config=str(write(tmp_path, text)))
    good = {"Authorization": "Basic " + base64.b64encode(b"a:secret").decode()}
    with serving(listen) as address:
        for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/nothing"):
            refused = request(address, path)
            assert refused.status == 401
            assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
            answer = request(address, path, headers=good)
            assert answer.status == (404 if path == "/nothing" else 200)
            assert answer.headers["X-Frame-Options"] == refused.headers["X-Frame-Options"] == "deny"


def test_a_clients_certificate_must_have_an_allowed_name(certificates):
    make_certificate(certificates, "2")
    curl = ["curl", "--silent", "--cacert", "crt", "--cert", "crt2", "--key", "key2"]
    for allowed, code in (("client", 0), ("other", 56)):
        file = write(
            certificates,
            TLS + "client_auth_type: RequireAndVerifyClientCert, client_ca_file: crt2, "
            f"client_allowed_sans: [{allowed}]}}",
        )
        with serving(Listen("127.0.0.1", 0, web_config=str(file))) as address:
            words = [*curl, f"https://{address}/metrics"]
            done = subprocess.run(words, cwd=certificates, capture_output=True, check=False)
            assert (done.returncode == 0, done.stdout) == (code == 0, b"" if code else b"x 1\n")
