"""Revocation: every certificate below the root is looked up, and no answer is a finding."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.certs import HOUR, TestCA, make_key, moment
from tests.pki.verdicts import Ask, broken, chain, judge, now


def test_without_crls_nothing_is_looked_up_and_the_verdict_says_so() -> None:
    leaf = chain().leaf()
    assert not judge(leaf).revocation_checked
    assert judge(leaf, Ask(crls=leaf.issuer.crls())).revocation_checked


def test_a_leaf_that_is_on_no_list_passes_and_one_that_is_does_not() -> None:
    ca = chain()
    good, bad = ca.leaf(), ca.leaf()
    lists = ca.crls([bad])
    assert judge(good, Ask(crls=lists)).ok
    verdict = judge(bad, Ask(crls=lists))
    assert broken(verdict) == [("revoked", "leaf")]
    assert "unspecified" in verdict.findings[0].found


def test_threat_15_a_leaf_under_a_revoked_intermediate() -> None:
    ca = chain()
    leaf = ca.leaf()
    assert broken(judge(leaf, Ask(crls=ca.crls([ca])))) == [("revoked", "intermediate 1")]


def test_threat_15_a_missing_list() -> None:
    ca = chain()
    leaf = ca.leaf()
    assert broken(judge(leaf, Ask(crls=ca.crl()))) == [("crl-missing", "intermediate 1")]
    assert broken(judge(leaf, Ask(crls=ca.root.crl()))) == [("crl-missing", "leaf")]


def test_threat_15_a_list_that_its_issuer_did_not_sign() -> None:
    ca = TestCA()
    leaf = ca.leaf()
    forged = ca.crl(key=make_key("p256"))
    assert broken(judge(leaf, Ask(crls=forged))) == [("crl-unusable", "CRL of root")]
    assert judge(leaf, Ask(crls=forged + ca.crl())).ok


@pytest.mark.parametrize(
    ("age", "found"),
    [
        (timedelta(minutes=-3), [("crl-stale", "CRL of root")]),
        (timedelta(), []),
        (timedelta(minutes=30), [("crl-stale", "CRL of root")]),
    ],
)
def test_threat_15_a_list_counts_from_its_update_to_the_next(
    age: timedelta, found: list[tuple[str, str]]
) -> None:
    ca = TestCA(not_before=time.time() - HOUR)
    leaf = ca.leaf(not_before=time.time() - HOUR)
    listed = ca.crl(next_update=time.time() + HOUR / 4)
    assert broken(judge(leaf, Ask(crls=listed, after=age))) == found


def test_a_stale_list_still_revokes() -> None:
    ca = TestCA()
    leaf = ca.leaf()
    stale = ca.crl([leaf], this_update=time.time() - HOUR, next_update=time.time() - 60)
    assert broken(judge(leaf, Ask(crls=stale))) == [
        ("crl-stale", "CRL of root"),
        ("revoked", "leaf"),
    ]


def test_of_two_lists_the_newer_counts() -> None:
    ca = TestCA()
    leaf = ca.leaf()
    older = ca.crl(this_update=time.time() - HOUR)
    newer = ca.crl([leaf])
    for both in (older + newer, newer + older):
        assert broken(judge(leaf, Ask(crls=both))) == [("revoked", "leaf")]


def test_an_issuer_without_crl_sign_has_no_say() -> None:
    ca = TestCA(key_usage=("key_cert_sign",))
    leaf = ca.leaf()
    assert broken(judge(leaf, Ask(crls=ca.crl()))) == [("crl-unusable", "root")]


def test_a_delta_list_is_no_full_answer() -> None:
    ca = TestCA()
    leaf = ca.leaf()
    delta = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.cert.subject)
        .last_update(moment(now().timestamp() - 60))
        .next_update(moment(now().timestamp() + HOUR))
        .add_extension(x509.DeltaCRLIndicator(1), critical=True)
        .sign(ca.key, hashes.SHA256())
    )
    listed = delta.public_bytes(serialization.Encoding.PEM)
    verdict = judge(leaf, Ask(crls=listed))
    assert broken(verdict) == [("crl-unusable", "CRL of root")]
    assert "delta" in verdict.findings[0].field
