"""SPIFFE IDs and the patterns that match them: one definition, shared by the CA and the proxy.

A SPIFFE ID is compared byte for byte and never normalised: a parser that repairs its input is
a parser that two programs can disagree about. So `SpiffeID.parse` accepts exactly the grammar
of the SPIFFE-ID specification (sections 2.1 and 2.2) and refuses everything else with a
sentence that says which rule was broken. Patterns match whole path segments: there is no
prefix match, because `/sa/web` as a prefix also names `/sa/web-admin`.

Pure and light on purpose: no cryptography, no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

SCHEME: Final = "spiffe://"
MAX_ID_BYTES: Final = 2048  # SPIFFE-ID 2.3: longer ones need not be supported, so they are not
MAX_TRUST_DOMAIN_BYTES: Final = 255

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class InvalidNameError(ValueError):
    """A string that is not the name it should be; the message says which rule it breaks."""


@dataclass(frozen=True, slots=True, order=True)
class SpiffeID:
    """A workload's name: a trust domain and a non-empty path (`/ns/shop/sa/web`)."""

    trust_domain: str
    path: str

    @classmethod
    def parse(cls, text: str) -> SpiffeID:
        """Read `spiffe://TRUST-DOMAIN/PATH` or raise `InvalidNameError`."""
        if not text.startswith(SCHEME):
            raise InvalidNameError(f"{_quote(text)} does not start with {SCHEME}")
        if len(text) > MAX_ID_BYTES:
            raise InvalidNameError(f"a SPIFFE ID has at most {MAX_ID_BYTES} bytes, not {len(text)}")
        domain, slash, path = text[len(SCHEME) :].partition("/")
        parse_trust_domain(domain)
        if not slash:
            raise InvalidNameError(f"{_quote(text)} names a trust domain and no workload in it")
        for segment in path.split("/"):
            _check_segment(segment, text)
        return cls(domain, "/" + path)

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}{self.path}"


def parse_trust_domain(text: str) -> str:
    """Return the trust domain unchanged, or raise `InvalidNameError`."""
    if not _TRUST_DOMAIN.fullmatch(text):
        raise InvalidNameError(
            f"{_quote(text)} is not a trust domain: one or more of a-z 0-9 . - _ are allowed"
        )
    if len(text) > MAX_TRUST_DOMAIN_BYTES:
        raise InvalidNameError(f"a trust domain has at most {MAX_TRUST_DOMAIN_BYTES} bytes")
    return text


@dataclass(frozen=True, slots=True)
class SpiffePattern:
    """A SPIFFE ID in which `*` stands for one whole segment and `**` for any number of them.

    `**` matches zero segments too, and may stand anywhere. The trust domain is never a pattern:
    whoever trusts a second domain says so by name.
    """

    trust_domain: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> SpiffePattern:
        """Read a pattern such as `spiffe://demo.local/ns/*/sa/web` or raise `InvalidNameError`."""
        if not text.startswith(SCHEME):
            raise InvalidNameError(f"{_quote(text)} does not start with {SCHEME}")
        domain, slash, path = text[len(SCHEME) :].partition("/")
        parse_trust_domain(domain)
        if not slash:
            raise InvalidNameError(f"{_quote(text)} has no path; write {SCHEME}{domain}/** for all")
        segments = tuple(path.split("/"))
        for segment in segments:
            if segment not in {"*", "**"}:
                _check_segment(segment, text)
        return cls(domain, segments)

    @property
    def exact(self) -> bool:
        """Whether the pattern names one single SPIFFE ID."""
        return "*" not in self.segments and "**" not in self.segments

    def matches(self, spiffe_id: SpiffeID) -> bool:
        """Whether this pattern covers the whole of `spiffe_id`."""
        if spiffe_id.trust_domain != self.trust_domain:
            return False
        return match_segments(self.segments, tuple(spiffe_id.path[1:].split("/")))

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}/{'/'.join(self.segments)}"


def match_segments(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Whether `segments` is covered by `pattern`, where `*` is one and `**` any number.

    Linear backtracking to the last `**` only: cost is bounded by the product of the lengths,
    whatever an attacker puts into a path.
    """
    p = s = 0
    star, mark = -1, 0
    while s < len(segments):
        if p < len(pattern) and pattern[p] == "**":
            star, mark, p = p, s, p + 1
        elif p < len(pattern) and pattern[p] in {"*", segments[s]}:
            p, s = p + 1, s + 1
        elif star >= 0:
            mark += 1
            p, s = star + 1, mark
        else:
            return False
    return all(rest == "**" for rest in pattern[p:])


def _check_segment(segment: str, text: str) -> None:
    if not segment:
        raise InvalidNameError(f"{_quote(text)} has an empty path segment or a trailing slash")
    if segment in {".", ".."}:
        raise InvalidNameError(f"{_quote(text)} has the relative segment {segment!r}")
    if not _SEGMENT.fullmatch(segment):
        raise InvalidNameError(
            f"{_quote(text)} has a segment with a character outside A-Z a-z 0-9 . - _"
        )


def _quote(text: str) -> str:
    """Show attacker-chosen text on one line, shortened, with nothing a terminal would act on."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")
