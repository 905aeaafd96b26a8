"""PKCS#12 files and Kubernetes Secrets: others read them, and nobody else can."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from pki.errors import RequestError
from pki.output import SecretName
from tests.pki.terminal import WEB, Pki

ISSUE = ("issue", "--spiffe-id", WEB)
SECRET = ("--format", "k8s-secret", "--name", "web-tls")


def test_a_secret_manifest_is_what_kubernetes_expects(pki: Pki) -> None:
    done = pki.ok(*ISSUE, "--dir", pki.ca, *SECRET, "--namespace", "shop", "--out", "-")
    manifest = yaml.safe_load(done.out)
    data = {name: base64.b64decode(text) for name, text in manifest.pop("data").items()}
    assert manifest == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "web-tls", "namespace": "shop"},
        "type": "kubernetes.io/tls",
    }
    assert sorted(data) == ["ca.crt", "tls.crt", "tls.key"]
    for name, content in data.items():
        Path(pki.path(name)).write_bytes(content)
    pki.ok("verify", pki.path(""))
    assert "PRIVATE" not in done.err


def test_a_secret_in_a_file_is_closed_to_others(pki: Pki) -> None:
    path = Path(pki.path("secret.yaml"))
    done = pki.ok(*ISSUE, "--dir", pki.ca, *SECRET, "--out", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(path.read_text())["metadata"] == {"name": "web-tls"}
    assert "tls.key" not in done.out


@pytest.mark.parametrize("name", ["", "Web", "a_b", "a b", "-a", "a-", "a" * 254, 'a"\nb: c', "é"])
def test_names_that_kubernetes_would_not_take_are_refused(name: str) -> None:
    with pytest.raises(RequestError):
        SecretName(name)
    with pytest.raises(RequestError):
        SecretName("web", name)


@pytest.mark.parametrize("name", ["a", "web-tls", "web.tls", "a" * 253])
def test_names_that_kubernetes_takes(name: str) -> None:
    assert SecretName(name, name).name == name


def p12(pki: Pki, passphrase: str = "horse") -> Path:
    secret, path = Path(pki.path("passphrase")), Path(pki.path("web.p12"))
    secret.write_text(passphrase + "\n")
    pki.ok(
        *ISSUE, "--dir", pki.ca, "--format", "p12", "--out", str(path),
        "--p12-passphrase-file", str(secret),
    )  # fmt: skip
    return path


def test_a_p12_holds_key_chain_and_root_and_is_closed_to_others(pki: Pki) -> None:
    path = p12(pki)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = pkcs12.load_pkcs12(path.read_bytes(), b"horse")
    assert loaded.cert is not None
    assert loaded.cert.friendly_name == WEB.encode()
    assert loaded.key is not None
    assert loaded.key.public_key() == loaded.cert.certificate.public_key()
    assert len(loaded.additional_certs) == 2
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_pkcs12(path.read_bytes(), b"donkey")


def test_a_p12_passphrase_may_be_typed(pki: Pki) -> None:
    path = pki.path("web.p12")
    words = (*ISSUE, "--dir", pki.ca, "--format", "p12", "--out", path)
    assert pki.run(*words).code == 1
    pki.ok(*words, typed=["horse", "horse"])
    assert pkcs12.load_pkcs12(Path(path).read_bytes(), b"horse").key


@pytest.mark.tool("openssl")
def test_openssl_opens_the_p12(pki: Pki) -> None:
    path = p12(pki)
    command = ["openssl", "pkcs12", "-in", str(path), "-nodes", "-passin", "pass:horse"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("BEGIN CERTIFICATE") == 3
    assert done.stdout.count("BEGIN PRIVATE KEY") == 1
    wrong = subprocess.run([*command[:-1], "pass:donkey"], capture_output=True)
    assert wrong.returncode != 0
    assert x509.load_pem_x509_certificates(done.stdout.encode())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "-"), "a folder is not printed"),
        (("--out", "-", "--format", "p12"), "a p12 is not printed"),
        (("--out", "x", "--format", "k8s-secret"), "needs a name"),
        (("--out", "-", *SECRET, "--json"), "both want standard output"),
        (("--out", "x", "--name", "y"), "belong to --format k8s-secret"),
        (("--out", "x", "--namespace", "y"), "belong to --format k8s-secret"),
        (("--out", "x", "--p12-passphrase-file", "y"), "belongs to --format p12"),
    ],
)
def test_options_that_contradict_each_other(pki: Pki, words: tuple[str, ...], message: str) -> None:
    done = pki.run(*ISSUE, "--dir", pki.ca, *words)
    assert done.code == 2
    assert message in done.err
    assert pki.ok("ls", "--dir", pki.ca, "--role", "leaf").out == ""
