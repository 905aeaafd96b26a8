"""Anything that is read becomes a value, and the value becomes text that tells no lies."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pki.read import (
    MAX_INPUT_BYTES,
    InputError,
    parse_items,
    read_bytes,
    read_certificates,
    read_crls,
)
from pki.render import MAX_REVOKED_SHOWN, render
from pki.show import View, view
from tests import der
from tests.certs import Leaf, TestCA, make_key, pem
from tests.pki.verdicts import WEB, chain, now, unreadable_subject


def views(data: bytes, after: timedelta = timedelta()) -> list[View]:
    return [view(item, now() + after) for item in parse_items("file", data)]


def text(data: bytes, after: timedelta = timedelta()) -> str:
    found = views(data, after)
    return "\n".join(render(each, len(found)) for each in found)


def shown_or_refused(data: bytes) -> str:
    """The text, or the words of the refusal; anything else that is raised is a defect."""
    try:
        return text(data)
    except InputError as error:
        return str(error)


def request(common_name: str = "", *names: x509.GeneralName) -> x509.CertificateSigningRequest:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = make_key("rsa2048")
    return builder.sign(key, hashes.SHA256())


def test_a_certificate_shows_its_names_first_and_how_long_it_lasts() -> None:
    leaf = chain().leaf(dns=("web.demo.local",), ips=("10.0.0.1",))
    shown = text(leaf.pem).splitlines()
    assert shown[0] == "file: certificate"
    assert shown[1].split() == ["URI", WEB]
    assert shown[2].split() == ["DNS", "web.demo.local"]
    assert shown[3].split() == ["IP", "10.0.0.1"]
    assert any(line.startswith("  valid") and line.endswith(" left") for line in shown)


def test_json_has_the_same_and_is_json() -> None:
    leaf = chain().leaf()
    (value,) = json.loads(json.dumps(views(leaf.pem)))
    assert value["names"] == [{"kind": "URI", "value": WEB}]
    assert value["key"] == "p256"
    assert value["serial"] == f"{leaf.cert.serial_number:x}".zfill(len(value["serial"]))
    assert value["sha256"] == leaf.cert.fingerprint(hashes.SHA256()).hex()
    assert value["state"] == "valid"
    assert value["critical"] == ["basic-constraints", "key-usage", "subject-alternative-name"]


def test_the_three_states_of_validity() -> None:
    leaf = chain().leaf()
    for after, state, words in (
        (timedelta(), "valid", "left"),
        (timedelta(hours=2), "expired", "EXPIRED"),
        (timedelta(hours=-2), "not-yet-valid", "NOT YET"),
    ):
        (value,) = views(leaf.pem, after)
        assert value["type"] == "certificate"
        assert value["state"] == state
        assert words in text(leaf.pem, after)


def test_a_chain_is_counted() -> None:
    shown = text(chain().leaf().chain_pem)
    assert "file: certificate (1 of 2)" in shown
    assert "file: CA certificate (2 of 2)" in shown
    assert "yes, for leaves only" in shown


def test_name_constraints_and_unknown_extensions_are_shown() -> None:
    bounds = x509.NameConstraints(
        [x509.UniformResourceIdentifier("demo.local")], [x509.DNSName("evil.local")]
    )
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.9"), b"\x05\x00")
    ca = TestCA(extensions=((bounds, True), (unknown, True)), path_length=2)
    shown = text(ca.pem)
    assert "permits     URI demo.local" in shown
    assert "excludes    DNS evil.local" in shown
    assert "1.3.6.1.4.1.55555.9, critical, 2 bytes: 0500" in shown
    assert "with 2 CAs below it" in shown


def test_every_kind_of_name_is_shown() -> None:
    names: list[tuple[x509.GeneralName, str]] = [
        (x509.RFC822Name("a@demo.local"), "email a@demo.local"),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), "OID 1.2.3"),
        (x509.OtherName(x509.ObjectIdentifier("1.2.4"), b"\x05\x00"), "other 1.2.4 0500"),
        (
            x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])),
            "directory CN=web",
        ),
    ]
    leaf = TestCA().leaf(uris=(), other_names=[name for name, _ in names])
    shown = " ".join(text(leaf.pem).split())
    assert all(words in shown for _, words in names)


@pytest.mark.parametrize(("key", "name"), [("p521", "secp521r1"), ("ed448", "ed448")])
def test_keys_that_are_not_accepted_are_shown_all_the_same(key: str, name: str) -> None:
    (value,) = views(TestCA().leaf(key=key).pem)
    assert value["type"] == "certificate"
    assert value["key"] == name


def test_an_odd_rsa_exponent_is_shown() -> None:
    (value,) = views(TestCA().leaf(key=rsa.generate_private_key(3, 2048)).pem)
    assert value["type"] == "certificate"
    assert value["key"] == "rsa2048, exponent 3"


def test_an_unreadable_subject_is_a_problem() -> None:
    (value,) = views(unreadable_subject(TestCA()).pem)
    assert value["problems"] == [value["problems"][0]]
    assert "the subject cannot be read" in value["problems"][0]


def test_a_request_says_whether_its_sender_holds_the_key() -> None:
    csr = request("web", x509.DNSName("web.demo.local"))
    (good,) = views(csr.public_bytes(serialization.Encoding.PEM))
    assert good["type"] == "request"
    assert good["signature_valid"]
    assert good["key"] == "rsa2048"
    raw = bytearray(csr.public_bytes(serialization.Encoding.DER))
    raw[-1] ^= 1
    (bad,) = views(bytes(raw))
    assert bad["type"] == "request"
    assert not bad["signature_valid"]
    assert bad["problems"]
    assert "PROBLEM" in text(bytes(raw))


def test_a_crl_lists_what_it_revokes() -> None:
    ca = TestCA()
    leaf = ca.leaf()
    (value,) = views(ca.crl([leaf]))
    assert value["type"] == "crl"
    assert [entry["serial"] for entry in value["revoked"]] == [f"{leaf.cert.serial_number:040x}"]
    assert value["number"] == 1


@pytest.mark.parametrize("extra", [0, 1])
def test_a_long_crl_is_cut_in_text_and_whole_in_json(extra: int) -> None:
    entries = range(1, MAX_REVOKED_SHOWN + extra + 1)
    listed = TestCA().crl(entries)
    (value,) = views(listed)
    assert value["type"] == "crl"
    assert len(value["revoked"]) == len(entries)
    assert ("and 1 more" in text(listed)) is bool(extra)


def test_a_private_key_is_seen_and_never_shown() -> None:
    leaf = chain().leaf()
    shown = text(leaf.pem + leaf.key_pem)
    secret = leaf.key_pem.splitlines()[1].decode()
    assert "private key (2 of 2)" in shown
    assert secret[:20] not in shown
    assert secret[:20] not in json.dumps(views(leaf.key_pem))


@pytest.mark.parametrize("bad", ["\x1b[31m", "\r\n", "\x00", '"'])
def test_threat_29_hostile_names_are_escaped(bad: str) -> None:
    ca = TestCA()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"web{bad}\u202eevil")])
    swapped = ca.resign(
        ca.leaf(WEB + "XXXXXX", subject=subject),
        lambda tbs: tbs.replace(b"XXXXXX", bad.encode().ljust(6, b"x")),
    )
    shown = text(swapped.pem)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert json.dumps(views(swapped.pem)).isascii()


def test_what_cannot_be_read_is_a_problem_and_the_rest_is_shown() -> None:
    ca = chain()
    key_id, key_usage = der.oid("2.5.29.14"), der.oid("2.5.29.15")
    twice = ca.resign(ca.leaf(subject="web"), lambda tbs: tbs.replace(key_id, key_usage))
    (value,) = views(twice.pem)
    assert value["type"] == "certificate"
    assert "extensions cannot be read" in value["problems"][0]
    assert value["subject"] == "CN=web"
    assert value["names"] == []


def test_der_is_read_as_what_it_is() -> None:
    ca = TestCA()
    listed = x509.load_pem_x509_crl(ca.crl()).public_bytes(serialization.Encoding.DER)
    csr = request().public_bytes(serialization.Encoding.DER)
    kinds = [views(data)[0]["type"] for data in (ca.der, listed, csr)]
    assert kinds == ["certificate", "crl", "request"]


GOOD = TestCA().pem
FIXED = (
    chain()
    .leaf(dns=("web.demo.local",), ips=("10.0.0.1",))
    .cert.public_bytes(serialization.Encoding.DER)
)
MALFORMED: list[tuple[bytes, str]] = [
    (b"", "file is empty"),
    (b" \n", "file is empty"),
    (b"hello", "file is neither PEM nor DER"),
    (b"\x30\x03abc", "file is no certificate, request or CRL in DER"),
    (b"-----BEGIN CERTIFICATE", "block 1 (line 1) has a BEGIN line without end"),
    (GOOD[:-30], "block 1 (line 1) has no END line"),
    (GOOD + b"\n\n" + GOOD[:200], "block 2 (line"),
    (GOOD.replace(b"CERTIFICATE", b"PKCS7"), "is a PKCS7, which is not read here"),
    (GOOD.replace(b"MII", b"M!I"), "is not base64"),
    (GOOD.replace(b"MII", b"MIJ"), "is not a well-formed CERTIFICATE"),
    (GOOD.replace(b"CERTIFICATE", b"X509 CRL"), "is not a well-formed X509 CRL"),
    (GOOD.replace(b"CERTIFICATE", b"A\x1b[31m"), "is a A\\x1b[31m, which is not read here"),
]


@pytest.mark.parametrize(("data", "message"), MALFORMED)
def test_malformed_input_is_an_error_that_names_the_place(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_items("file", data)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.binary(max_size=300) | st.builds(lambda a, b: a + GOOD + b, st.binary(), st.binary()))
def test_threat_14_any_bytes_give_a_value_or_an_input_error(data: bytes) -> None:
    assert shown_or_refused(data).replace("\n", "").isprintable()


@given(st.integers(0, len(FIXED) - 1), st.integers(1, 255))
def test_threat_14_any_changed_byte_gives_a_value_or_an_input_error(at: int, bits: int) -> None:
    data = bytearray(FIXED)
    data[at] ^= bits
    assert shown_or_refused(bytes(data)).replace("\n", "").isprintable()


def test_the_scan_of_many_begin_lines_stops_at_the_first_without_end() -> None:
    with pytest.raises(InputError, match="no END"):
        parse_items("file", b"-----BEGIN A-----\n" * 100_000)


@pytest.mark.parametrize(("size", "good"), [(9, True), (10, True), (11, False)])
def test_input_has_a_limit(tmp_path: Path, size: int, good: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    if good:
        assert len(read_bytes(str(path), limit=10)) == size
        return
    with pytest.raises(InputError, match="larger than 10 bytes"):
        read_bytes(str(path), limit=10)
    assert MAX_INPUT_BYTES > 10


def test_a_file_without_what_was_asked_for_says_what_it_has(tmp_path: Path) -> None:
    ca = TestCA()
    (tmp_path / "crl.pem").write_bytes(ca.crl())
    (tmp_path / "ca.crt").write_bytes(ca.pem)
    with pytest.raises(InputError, match=r"holds no certificate, only: CRL"):
        read_certificates(str(tmp_path / "crl.pem"))
    with pytest.raises(InputError, match="holds no CRL"):
        read_crls(str(tmp_path / "ca.crt"))
    assert read_certificates(str(tmp_path / "ca.crt")) == (ca.cert,)


@pytest.mark.tool("openssl")
def test_openssl_agrees_on_serial_fingerprint_and_dates(tmp_path: Path) -> None:
    leaf = chain().leaf()
    path = tmp_path / "leaf.pem"
    path.write_bytes(leaf.pem)
    done = subprocess.run(
        ["openssl", "x509", "-in", str(path), "-noout", "-serial", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.lower().replace(":", "").split("=") for line in done.stdout.splitlines())
    (value,) = views(leaf.pem)
    assert value["type"] == "certificate"
    assert lines["serial"] == value["serial"]
    assert lines["sha256 fingerprint"] == value["sha256"]


def test_text_around_pem_blocks_is_skipped() -> None:
    leaf = Leaf(chain().cert, make_key("p256"), TestCA())
    assert len(views(b"subject=x\n" + pem(leaf.cert) + b"tail\n" + GOOD)) == 2
