"""`pki show`, `verify`, `ls`, `crl`, `bundle` and `log verify`, as an operator types them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from cryptography import x509

from pki.keys import load_private_key, private_pem
from tests.certs import TestCA
from tests.pki.kit import DAY, HOUR
from tests.pki.terminal import WEB, Pki

ORDERS = "spiffe://demo.local/ns/shop/sa/orders"


# --- show ---------------------------------------------------------------------------------------


def test_show_a_folder_shows_its_public_files(pki: Pki) -> None:
    pki.issue()
    shown = pki.ok("show", pki.path("web")).out
    assert shown.count("certificate") >= 3
    assert WEB in shown
    assert "tls.key" not in shown


def test_show_reads_standard_input_and_many_files(pki: Pki) -> None:
    pki.issue()
    leaf = Path(pki.path("web/tls.crt")).read_bytes()
    assert "standard input: certificate" in pki.ok("show", "-", stdin=leaf).out
    both = pki.ok("show", pki.path("web/ca.crt"), "-", "--json", stdin=leaf).json
    assert [each["type"] for each in both] == ["certificate"] * 3


def test_show_fails_on_what_is_malformed_and_shows_the_rest(pki: Pki) -> None:
    raw = bytearray(TestCA().der)
    raw[raw.index(b"\x55\x1d\x0e") + 2] = 0x0F  # two key usages
    done = pki.run("show", "-", stdin=bytes(raw))
    assert done.code == 1
    assert "PROBLEM" in done.out
    assert "serial" in done.out


@pytest.mark.parametrize(
    ("name", "message"), [("nothing", "no such file or directory"), ("", "has none of tls.crt")]
)
def test_show_says_what_is_not_there(bare: Pki, name: str, message: str) -> None:
    done = bare.run("show", bare.path(name))
    assert done.code == 1
    assert message in done.err


# --- verify -------------------------------------------------------------------------------------


def test_verify_json_has_the_path_and_every_finding(pki: Pki) -> None:
    pki.issue()
    pki.wait(2 * DAY)
    done = pki.run("verify", pki.path("web"), "--trust-domain", "other.local", "--json")
    assert done.code == 3
    value = done.json
    assert not value["ok"]
    assert [link["place"] for link in value["path"]] == ["leaf", "intermediate 1", "root"]
    assert [finding["code"] for finding in value["findings"]] == ["expired", "trust-domain"]
    assert set(value["findings"][0]) == {
        "code", "title", "where", "field", "found", "expected", "hint",
    }  # fmt: skip


def test_verify_at_another_time(pki: Pki) -> None:
    pki.issue()
    end = pki.now + DAY
    pki.wait(3 * DAY)
    assert pki.run("verify", pki.path("web")).code == 3
    assert pki.run("verify", pki.path("web"), "--at", end.isoformat()).code == 0
    assert pki.run("verify", pki.path("web"), "--at", "yesterday").code == 2


def test_verify_finds_a_key_of_another_certificate(pki: Pki) -> None:
    pki.issue("web")
    pki.issue("other")
    assert pki.run("verify", pki.path("web")).code == 0
    key = Path(pki.path("web/tls.key"))
    key.unlink()
    key.write_bytes(Path(pki.path("other/tls.key")).read_bytes())
    done = pki.run("verify", pki.path("web"))
    assert done.code == 3
    assert "key-mismatch" in done.out


def test_verify_leaves_an_encrypted_key_alone(pki: Pki) -> None:
    pki.issue()
    key = Path(pki.path("web/tls.key"))
    secret = private_pem(load_private_key(key.read_bytes(), None, "key"), b"horse")
    key.unlink()
    key.write_bytes(secret)
    pki.ok("verify", pki.path("web"))
    key.write_bytes(b"no key at all")
    assert pki.run("verify", pki.path("web")).code == 1


def test_verify_files_needs_roots_and_takes_lists(pki: Pki) -> None:
    pki.issue()
    chain, roots = pki.path("web/tls.crt"), pki.path("web/ca.crt")
    lost = pki.run("verify", chain)
    assert lost.code == 2
    assert "pki bundle" in lost.err
    assert "NOT looked up" in pki.ok("verify", chain, "--ca", roots).out
    pki.ok("crl", "--dir", pki.ca, "--out", pki.path("crl.pem"))
    done = pki.ok("verify", chain, "--ca", roots, "--crl", pki.path("crl.pem"))
    assert "revocation      looked up" in done.out
    data = Path(chain).read_bytes()
    assert "standard input: ok" in pki.ok("verify", "-", "--ca", roots, stdin=data).out


def test_verify_distrusts_a_foreign_ca(pki: Pki, tmp_path: Path) -> None:
    pki.issue()
    (tmp_path / "foreign.crt").write_bytes(TestCA().pem)
    done = pki.run("verify", pki.path("web"), "--ca", str(tmp_path / "foreign.crt"))
    assert done.code == 3
    assert "untrusted" in done.out


# --- ls -----------------------------------------------------------------------------------------


@pytest.fixture
def three(pki: Pki) -> Pki:
    """Three leaves: one for a day, one for a month, one revoked."""
    pki.issue("web")
    pki.issue("orders", "--ttl", "30d", spiffe_id=ORDERS)
    pki.issue("gone", spiffe_id="spiffe://demo.local/ns/shop/sa/gone")
    pki.ok("revoke", "--dir", pki.ca, pki.path("gone"))
    return pki


def listed(pki: Pki, *words: str) -> list[str]:
    """The last segment of each identity that `ls` prints for these filters."""
    found = pki.ok("ls", "--dir", pki.ca, "--json", *words).json
    return [entry["spiffe_id"].rpartition("/")[2] for entry in found["certificates"]]


def test_ls_is_a_table_with_the_newest_first(three: Pki) -> None:
    lines = three.ok("ls", "--dir", three.ca).out.splitlines()
    assert lines[0].split() == ["SERIAL", "ROLE", "KEY", "STATE", "SPIFFE", "ID"]
    assert len(lines) == 6
    assert "revoked" in lines[1]
    assert "30 d left" in lines[2]
    assert lines[3].startswith(three.serial("web"))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--expiring", "7d"), ["web"]),
        (("--expiring", "31d"), ["orders", "web"]),
        (("--expiring", "23h"), []),
        (("--revoked",), ["gone"]),
        (("--spiffe", WEB), ["web"]),
        (("--spiffe", "spiffe://demo.local/ns/shop/**"), ["gone", "orders", "web"]),
        (("--spiffe", "ns/*/sa/orders"), ["orders"]),
        (("--spiffe", "/ns/shop/sa/orders"), ["orders"]),
        (("--spiffe", "ns/shop"), []),
        (("--spiffe", "spiffe://other.local/**"), []),
        (("--role", "leaf"), ["gone", "orders", "web"]),
        (("--role", "root"), ["demo.local"]),
        (("--revoked", "--spiffe", "ns/*/sa/web"), []),
    ],
)
def test_ls_filters(three: Pki, words: tuple[str, ...], names: list[str]) -> None:
    assert listed(three, *words) == names


@pytest.mark.parametrize("glob", ["a*", "", "spiffe://*/a", "spiffe://demo.local"])
def test_ls_refuses_what_is_no_pattern(three: Pki, glob: str) -> None:
    done = three.run("ls", "--dir", three.ca, "--spiffe", glob)
    assert done.code == 1
    assert "hint: * is one whole segment" in done.err


def test_ls_says_how_long_ago_something_expired(three: Pki) -> None:
    three.wait(DAY + 2 * HOUR)
    shown = three.ok("ls", "--dir", three.ca, "--spiffe", WEB).out
    assert "expired 2 h ago" in shown
    assert listed(three, "--expiring", "7d") == []


def test_ls_pages_follow_each_other(three: Pki) -> None:
    seen, before = [], None
    for _ in range(5):
        words = ("--before", str(before)) if before else ()
        page = three.ok("ls", "--dir", three.ca, "--json", "--limit", "2", *words).json
        seen += [entry["serial"] for entry in page["certificates"]]
        before = page["next"]
        if before is None:
            break
    assert len(seen) == len(set(seen)) == 5
    table = three.ok("ls", "--dir", three.ca, "--limit", "2")
    assert "hint: there are more; the next page: add --before" in table.err
    assert "hint" not in three.ok("ls", "--dir", three.ca).err


# --- what is handed out -------------------------------------------------------------------------


def test_crl_has_one_list_of_each_issuer(pki: Pki) -> None:
    out = pki.ok("crl", "--dir", pki.ca).out
    assert out.count("BEGIN X509 CRL") == 2
    pki.ok("rotate", "--dir", pki.ca)
    assert pki.ok("crl", "--dir", pki.ca).out.count("BEGIN X509 CRL") == 3
    assert "revocation list" in pki.ok("show", "-", stdin=out.encode()).out


def test_bundle_as_pem_and_as_a_spiffe_document(pki: Pki) -> None:
    pem = pki.ok("bundle", "--dir", pki.ca).out
    assert pem.encode() == Path(pki.ca, "root", "ca.crt").read_bytes()
    document = pki.ok("bundle", "--dir", pki.ca, "--format", "spiffe").json
    (key,) = document["keys"]
    assert key["use"] == "x509-svid"
    assert len(key["x5c"]) == 1
    assert "kid" not in key
    pki.ok("bundle", "--dir", pki.ca, "--out", pki.path("ca.crt"))
    assert Path(pki.path("ca.crt")).read_text() == pem
    assert Path(pki.path("ca.crt")).stat().st_mode & 0o777 == 0o644
    assert x509.load_pem_x509_certificates(pem.encode())


@pytest.mark.parametrize("command", ["crl", "bundle"])
def test_what_is_handed_out_needs_a_place(pki: Pki, command: str) -> None:
    done = pki.run(command, "--dir", pki.ca, "--out", pki.path("no/file"))
    assert done.code == 1
    assert f"hint: mkdir -p {pki.path('no')}" in done.err


# --- log verify ---------------------------------------------------------------------------------


def test_log_verify_prints_a_head_and_takes_it_back(three: Pki) -> None:
    first = three.ok("log", "verify", "--dir", three.ca, "--json").json
    assert first["ok"]
    assert first["records"] >= 6
    three.issue("more")
    three.ok("log", "verify", "--dir", three.ca, "--head", first["head"])
    other = three.run("log", "verify", "--dir", three.ca, "--head", "f" * 64)
    assert other.code == 3


def test_log_verify_finds_a_changed_record(three: Pki) -> None:
    with sqlite3.connect(Path(three.ca, "index.db")) as db:
        db.execute("UPDATE certificates SET revoked_at = NULL, reason = NULL")
    db.close()
    done = three.run("log", "verify", "--dir", three.ca)
    assert done.code == 3
    assert "record " in done.out
    assert "hint: " in done.err
    value = three.run("log", "verify", "--dir", three.ca, "--json")
    assert value.code == 3
    assert not value.json["ok"]
    assert value.json["damage"]


def test_json_is_ascii_whatever_is_in_a_certificate(pki: Pki) -> None:
    ca = TestCA(subject="wurzel \u202e\x1b[2J")
    shown = pki.ok("show", "-", "--json", stdin=ca.pem).out
    assert shown.isascii()
    assert "\x1b" not in shown
    assert json.loads(shown)[0]["subject"].startswith("CN=wurzel")
