"""The CA and whatever configures a sidecar: copies, clocks, and input of any size."""

from __future__ import annotations

import itertools
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sidecar.config.tree import MAX_FILE_BYTES as MAX_CONFIG_BYTES
from sidecar.identity.files import MAX_FILE_BYTES
from tests.certs import Leaf
from tests.e2e.apps import WebApplication
from tests.e2e.harness import Sidecar, Site, inbound
from tests.pki.terminal import Pki
from tests.threats.kit import ask


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    terminal = Pki(tmp_path)
    terminal.init()
    return terminal


def serials(pki: Pki, count: int) -> set[str]:
    for number in range(count):
        pki.issue(f"web{number}")
    return {pki.serial(f"web{number}") for number in range(count)}


def test_threat_37_a_restored_backup_and_a_second_copy_repeat_no_serial(
    pki: Pki, tmp_path: Path
) -> None:
    """What comes next does not hang on what the index knows: it is 158 bits of chance."""
    other = Pki(tmp_path / "other")
    shutil.copytree(pki.ca, other.ca)
    before, beside = serials(pki, 5), serials(other, 5)
    shutil.rmtree(pki.ca)
    shutil.copytree(other.ca, pki.ca)  # the index forgets the first five
    after = serials(pki, 5)
    assert len(before | beside | after) == 15
    for copy in (pki, other):
        copy.ok("log", "verify", "--dir", copy.ca)


def test_threat_37_serials_are_not_counted_up(pki: Pki) -> None:
    numbers = sorted(int(serial, 16) for serial in serials(pki, 8))
    gaps = {later - earlier for earlier, later in itertools.pairwise(numbers)}
    assert min(gaps) > 2**100
    assert all(number.bit_length() >= 158 for number in numbers)


def test_threat_43_a_ca_whose_clock_was_set_back_signs_nothing(pki: Pki) -> None:
    issue = ("issue", "--dir", pki.ca, "--spiffe-id", "spiffe://demo.local/a", "--out")
    assert pki.run(*issue, pki.path("good")).code == 0
    pki.wait(-timedelta(days=40))
    done = pki.run(*issue, pki.path("early"))
    assert done.code == 1
    assert not Path(pki.path("early")).exists()


@pytest.mark.parametrize("days", [40, 400])
def test_threat_43_a_leap_ahead_gives_no_certificate_that_outlives_its_issuer(
    pki: Pki, days: int
) -> None:
    """40 days later the intermediate has most of its year left; 400 days later, nothing."""
    pki.wait(timedelta(days=days))
    issue = ("issue", "--dir", pki.ca, "--spiffe-id", "spiffe://demo.local/a", "--out")
    done = pki.run(*issue, pki.path("late"))
    assert done.code == (0 if days == 40 else 1), done.err
    if done.code == 0:
        leaf, issuer = x509.load_pem_x509_certificates(Path(pki.path("late/tls.crt")).read_bytes())
        assert leaf.not_valid_after_utc <= issuer.not_valid_after_utc


# --- 38: input that is too large ---


@pytest.fixture(scope="module")
def fed(site: Site, web: WebApplication) -> Sidecar:
    """A sidecar whose files are made too large, one after the other."""
    return site.sidecar("web", {"inbound": [inbound("open", web)]})


def still_serves(fed: Sidecar, site: Site) -> None:
    assert ask(fed, site.leaf("frontend")).status == 200


def test_threat_38_a_configuration_that_is_too_large(fed: Sidecar, site: Site) -> None:
    """CVE-2022-23635, CVE-2022-39278: one push must not take the process down."""
    good = fed.config_file.read_text()
    fed.write_config(good + "#" * MAX_CONFIG_BYTES)
    assert "more than" in fed.refuse_reload()
    still_serves(fed, site)
    fed.write_config(good)
    fed.reload()


def test_threat_38_a_configuration_that_grows_when_it_is_read(fed: Sidecar, site: Site) -> None:
    """A few hundred bytes of aliases would be gigabytes; too many levels, a stack."""
    good = fed.config_file.read_text()
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    for bad in ("\n".join(rows), "identity: " + "[" * 5000):
        fed.write_config(bad)
        assert fed.refuse_reload()
        still_serves(fed, site)
    fed.write_config(good)
    fed.reload()


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_threat_38_an_identity_that_is_too_large(fed: Sidecar, site: Site, name: str) -> None:
    folder = fed.folder / "certs"
    own: Leaf = site.leaf("web")
    own.write_folder(folder)
    fed.reload()
    with (folder / name).open("ab") as file:
        file.write(b"\n" * MAX_FILE_BYTES)
    assert name in fed.refuse_reload()
    still_serves(fed, site)
    own.write_folder(folder)
    fed.reload()


def test_threat_38_a_file_without_an_end(fed: Sidecar, site: Site) -> None:
    folder = fed.folder / "certs"
    (folder / "ca.crt").unlink()
    (folder / "ca.crt").symlink_to("/dev/zero")
    assert "ca.crt" in fed.refuse_reload()
    still_serves(fed, site)
    (folder / "ca.crt").unlink()
    site.leaf("web").write_folder(folder)
    fed.reload()
