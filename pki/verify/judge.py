"""The order of the questions: length, path, each certificate, each CA's bounds, the CRLs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography import x509

from pki import fields
from pki.constraints import outside
from pki.keys import PublicKey
from pki.read import quiet
from pki.text import count, printable
from pki.verify import certificate, path, revocation, rules
from pki.verify.finding import Finding, Link, Question, Verdict


def verify(question: Question) -> Verdict:
    """Judge a chain against all rules; `question.chain` has at least one certificate."""
    long = path.too_long(question)
    if long is not None:
        return Verdict((), (long,), revocation_checked=False)
    with quiet():
        walk = path.walk(question)
        findings = (*walk.findings, *_judge(walk.path, question))
    return Verdict(walk.path, findings, revocation_checked=bool(question.crls))


def _judge(links: Sequence[Link], question: Question) -> Iterator[Finding]:
    domain = question.trust_domain or _domain_of(links[-1])
    yield from _key(links[0], question.key)
    wanted = certificate.Wanted(question.now, question.purpose, domain)
    for link in links:
        yield from certificate.check(link, wanted)
    for index, authority in enumerate(links[1:], start=1):
        yield from _path_length(authority, links[1:index])
        yield from _names(authority, links[:index])
    if question.crls:
        yield from revocation.check(links, question.crls, question.now)


def _key(leaf: Link, key: PublicKey | None) -> Iterator[Finding]:
    """Whether the private key beside the leaf is its own; what is unreadable is found elsewhere."""
    if key is None:
        return
    own, other = fields.key_fingerprint(leaf.certificate), fields.fingerprint_of(key)
    if own != other:
        yield leaf.finding(rules.KEY_MISMATCH, "public key", own, f"{other}, as tls.key has")


def _domain_of(last: Link) -> str | None:
    """The trust domain of an anchor: what it names is whom it may vouch for."""
    if not last.anchor:
        return None
    domains = {certificate.anchor_domain(uri) for uri in fields.uris(last.extensions)} - {None}
    return domains.pop() if len(domains) == 1 else None


def _path_length(authority: Link, below: Sequence[Link]) -> Iterator[Finding]:
    """RFC 5280 section 4.2.1.9: CAs between this one and the leaf, self-issued ones not counted."""
    basic = fields.value(authority.extensions, x509.BasicConstraints)
    if basic is None or basic.path_length is None:
        return
    counted = sum(not _self_issued(link) for link in below)
    if counted > basic.path_length:
        found, allowed = f"{count(counted, 'CA')} below it", f"at most {basic.path_length}"
        yield authority.finding(rules.PATH_LENGTH, "basicConstraints", found, allowed)


def _names(authority: Link, below: Sequence[Link]) -> Iterator[Finding]:
    """RFC 5280 section 6.1.3 (b), (c): all names below, but for self-issued CAs."""
    constraints = fields.value(authority.extensions, x509.NameConstraints)
    if constraints is None:
        return
    for index, link in enumerate(below):
        if index and _self_issued(link):
            continue
        for name in outside(_all_names(link), constraints):
            kind, text = fields.general_name(name)
            yield link.finding(
                rules.NAME_CONSTRAINT,
                f"{kind} name",
                printable(text),
                f"a name that {authority.place} permits",
            )


def _all_names(link: Link) -> tuple[x509.GeneralName, ...]:
    names, subject = fields.alternative_names(link.extensions), fields.subject(link.certificate)
    return (*names, x509.DirectoryName(subject)) if subject is not None and subject.rdns else names


def _self_issued(link: Link) -> bool:
    subject = fields.subject(link.certificate)
    return subject is not None and subject == fields.issuer(link.certificate)
