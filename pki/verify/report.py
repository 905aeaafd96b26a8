"""A verdict as words and as a JSON value: the path first, then everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pki import fields
from pki.text import count, printable, span, table, timestamp
from pki.verify.finding import Finding, Link, Verdict
from pki.verify.path import subject_words


def as_json(verdict: Verdict, source: str) -> dict[str, object]:
    """What `pki verify --json` prints."""
    return {
        "source": source,
        "ok": verdict.ok,
        "revocation_checked": verdict.revocation_checked,
        "path": [_link_value(link) for link in verdict.path],
        "findings": [_finding_value(finding) for finding in verdict.findings],
    }


def _link_value(link: Link) -> dict[str, object]:
    return {
        "place": link.place,
        "name": name_of(link),
        "serial": fields.serial_text(fields.serial_number(link.certificate)),
        "sha256": fields.fingerprint(link.certificate),
        "not_after": timestamp(link.certificate.not_valid_after_utc),
    }


def _finding_value(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.rule.code,
        "title": finding.rule.title,
        "where": finding.where,
        "field": finding.field,
        "found": finding.found,
        "expected": finding.expected,
        "hint": finding.rule.hint,
    }


def as_text(verdict: Verdict, source: str, now: datetime) -> str:
    """What `pki verify` prints."""
    problems = len(verdict.findings)
    lines = [f"{source}: {'ok' if verdict.ok else count(problems, 'problem')}\n"]
    if verdict.path:
        lines.append(_indented(table(_path_rows(verdict, now))))
    lines += [f"\n{_indented(_finding_text(finding))}" for finding in verdict.findings]
    return "".join(lines)


def name_of(link: Link) -> str:
    """Who the certificate is for: its only URI name, or else its subject; safe to print."""
    uris = fields.uris(link.extensions)
    return printable(uris[0]) if len(uris) == 1 else subject_words(link.certificate)


def _path_rows(verdict: Verdict, now: datetime) -> Iterator[tuple[str, ...]]:
    for link in verdict.path:
        yield link.place, name_of(link), _time(link, now)
    checked = "looked up" if verdict.revocation_checked else "NOT looked up; add --crl FILE"
    yield "revocation", checked, ""


def _time(link: Link, now: datetime) -> str:
    start, end = link.certificate.not_valid_before_utc, link.certificate.not_valid_after_utc
    if now < start:
        return "not valid yet"
    return f"expired {span(now - end)} ago" if now > end else f"{span(end - now)} left"


def _finding_text(finding: Finding) -> str:
    rows = (
        ("field", finding.field),
        ("found", finding.found),
        ("expected", finding.expected),
        ("hint", finding.rule.hint),
    )
    heading = f"{finding.where}: {finding.rule.title} ({finding.rule.code})\n"
    return heading + _indented(table(rows))


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
