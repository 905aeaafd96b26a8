"""From the leaf up to a trust anchor, one step at a time.

The walk is greedy and bounded: an issuer is whoever has the right name and whose key verifies the
signature; there is nothing to backtrack over, because two certificates that pass both tests hold
the same key. The certificates come from a stranger, so they are counted before anything looks
at them (threat class: path-building DoS).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from pki import fields
from pki.read import MALFORMED as MALFORMED_INPUT
from pki.text import printable
from pki.verify import rules
from pki.verify.finding import Finding, Link, Purpose, Question

MAX_CHAIN: Final = 10  # certificates that a peer may send; real chains have two or three
MAX_SHOWN: Final = 5  # issuers named in one finding: a system's bundle has hundreds


@dataclass(frozen=True, slots=True)
class Walk:
    """The path as far as it could be found, and why it went no further."""

    path: tuple[Link, ...]
    findings: tuple[Finding, ...]


def too_long(question: Question) -> Finding | None:
    """The finding of a chain that is longer than may be walked."""
    length = len(question.chain)
    if length <= MAX_CHAIN:
        return None
    return Finding(
        rules.LONG_CHAIN, "chain", "length", f"{length} certificates", f"at most {MAX_CHAIN}"
    )


def walk(question: Question) -> Walk:
    """Find the path from the first certificate to an anchor."""
    certificate, rest = question.chain[0], list(question.chain[1:])
    path = [_link("CA" if question.purpose is Purpose.CA else "leaf", certificate)]
    while True:
        root = _issuer(certificate, question.anchors)
        if root is not None:
            path.append(_link("root", root, anchor=True))
            return Walk(tuple(path), ())
        above = _issuer(certificate, rest)
        if above is None:
            candidates = (*question.anchors, *rest)
            return Walk(tuple(path), (_dead_end(path[-1], candidates),))
        rest.remove(above)
        path.append(_link(f"intermediate {len(path)}", above))
        certificate = above


def _link(place: str, certificate: x509.Certificate, *, anchor: bool = False) -> Link:
    extensions, problem = fields.extensions(certificate)
    return Link(place, certificate, extensions, problem, anchor)


def _issuer(
    certificate: x509.Certificate, candidates: Iterable[x509.Certificate]
) -> x509.Certificate | None:
    return next((c for c in candidates if _why_not(certificate, c) == ""), None)


def _why_not(certificate: x509.Certificate, issuer: x509.Certificate) -> str:
    """Why `issuer` did not sign `certificate`; "" if it did, "name" if its name is another."""
    name = fields.issuer(certificate)
    if name is None or name != fields.subject(issuer):
        return "name"
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return "it does not verify with the key of that name"
    except (*MALFORMED_INPUT, TypeError, UnsupportedAlgorithm) as error:
        return f"it cannot be checked: {printable(str(error))}"
    return ""


def _dead_end(link: Link, candidates: Iterable[x509.Certificate]) -> Finding:
    whys = {_why_not(link.certificate, candidate): candidate for candidate in candidates}
    bad = next((why for why in whys if why != "name"), None)
    if bad is not None:
        signer = subject_words(whys[bad])
        return link.finding(rules.SIGNATURE, "signature", bad, f"a signature of {signer}")
    return link.finding(
        rules.UNTRUSTED, "issuer", issuer_words(link.certificate), _known(candidates)
    )


def _known(candidates: Iterable[x509.Certificate]) -> str:
    names = sorted({subject_words(candidate) for candidate in candidates})
    shown = " or ".join(names[:MAX_SHOWN])
    more = f" or one of {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return shown + more or "a trusted root"


def subject_words(certificate: x509.Certificate) -> str:
    """A certificate's subject, safe to print."""
    return _words(fields.subject(certificate))


def issuer_words(certificate: x509.Certificate) -> str:
    """A certificate's issuer, safe to print."""
    return _words(fields.issuer(certificate))


def _words(name: x509.Name | None) -> str:
    if name is None:
        return "an unreadable name"
    return printable(fields.distinguished_name(name), backslash=False) or "an empty name"
