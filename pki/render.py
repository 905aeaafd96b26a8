"""The values of `pki.show` as text that is a pleasure to read: names first, then how long it lasts.

Pure: a value in, text out. Every string of a certificate passes through `printable`, so nothing
in it can move the cursor, forge a line or hide itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from pki.show import (
    CertificateView,
    Constraints,
    CrlView,
    Extended,
    Name,
    OtherExtension,
    PrivateKeyView,
    RequestView,
    View,
)
from pki.text import count, printable, span

MAX_REVOKED_SHOWN: Final = 20
MAX_VALUE_SHOWN: Final = 32  # bytes of an extension that nobody can read anyway

Row = tuple[str, str]  # a label ("" continues the row above) and its text

_EXTENSION_OF: Final = {"usage": "key-usage", "purpose": "extended-key-usage"}


def render(view: View, total: int) -> str:
    """One object as text; `total` is the number of objects in its file."""
    heading = f"{view['source']}: {_heading(view)}"
    if total > 1:
        heading += f" ({view['position']} of {total})"
    rows = [*_problems(view), *_rows(view)]
    width = max((len(label) for label, _ in rows), default=0)
    body = (f"  {label.ljust(width)}  {text}\n" for label, text in rows)
    return f"{heading}\n{''.join(body)}"


def _heading(view: View) -> str:
    match view["type"]:
        case "certificate":
            return "CA certificate" if view["ca"] else "certificate"
        case "request":
            return "certificate signing request"
        case "crl":
            return "certificate revocation list"
        case "private-key":
            return "private key"


def _rows(view: View) -> Iterator[Row]:
    match view["type"]:
        case "certificate":
            return _certificate(view)
        case "request":
            return _request(view)
        case "crl":
            return _crl(view)
        case "private-key":
            return _private_key(view)


def _problems(view: View) -> Iterator[Row]:
    for problem in view["problems"]:
        yield "PROBLEM", problem


def _certificate(view: CertificateView) -> Iterator[Row]:
    yield from _names(view["names"])
    yield "subject", _distinguished(view["subject"])
    yield "issuer", _distinguished(view["issuer"])
    early = view["state"] == "not-yet-valid"
    yield "valid", "NOT YET" if early else _left(view["seconds_left"])
    yield "", f"from {view['not_before']} to {view['not_after']}"
    yield from _extended(view)
    yield "signature", view["signature"]
    yield "serial", view["serial"]
    yield "sha256", view["sha256"]
    yield "key sha256", view["key_sha256"]
    yield from _identifiers(view["subject_key_id"], view["authority_key_id"])
    yield from _others(view["other_extensions"])


def _request(view: RequestView) -> Iterator[Row]:
    yield from _names(view["names"])
    yield "subject", _distinguished(view["subject"])
    yield from _extended(view)
    proof = "by the key in it" if view["signature_valid"] else "NOT by the key in it"
    yield "signature", f"{view['signature']}, {proof}"
    yield "key sha256", view["key_sha256"]
    yield from _others(view["other_extensions"])


def _crl(view: CrlView) -> Iterator[Row]:
    yield "issuer", _distinguished(view["issuer"])
    yield "number", "none" if view["number"] is None else str(view["number"])
    yield "updated", view["this_update"]
    if view["next_update"] is None or view["seconds_left"] is None:
        yield "next", "not said"
    else:
        yield "next", f"{view['next_update']}, {_left(view['seconds_left'])}"
    yield from _revoked(view)
    yield "signature", view["signature"]
    yield "sha256", view["sha256"]
    yield from _identifiers(None, view["authority_key_id"])
    yield from _others(view["other_extensions"])


def _private_key(_: PrivateKeyView) -> Iterator[Row]:
    yield "content", "not read, and never shown"


def _revoked(view: CrlView) -> Iterator[Row]:
    entries = view["revoked"]
    yield "revoked", count(len(entries), "certificate")
    for entry in entries[:MAX_REVOKED_SHOWN]:
        yield "", f"{entry['serial']}  {entry['at']}  {entry['reason']}"
    if len(entries) > MAX_REVOKED_SHOWN:
        yield "", f"and {len(entries) - MAX_REVOKED_SHOWN} more; --json has them all"


def _names(names: Iterable[Name]) -> Iterator[Row]:
    for name in names:
        yield printable(name["kind"]), printable(name["value"])


def _extended(view: CertificateView | RequestView) -> Iterator[Row]:
    yield "key", view["key"]
    if view["key_usage"] is not None:
        yield "usage", _listed(view, "usage", view["key_usage"])
    if view["extended_key_usage"] is not None:
        yield "purpose", _listed(view, "purpose", view["extended_key_usage"])
    yield "CA", _authority(view)
    if view["name_constraints"] is not None:
        yield from _constraints(view["name_constraints"])


def _listed(view: Extended, label: str, words: list[str]) -> str:
    critical = " (critical)" if _EXTENSION_OF[label] in view["critical"] else ""
    return (", ".join(words) or "nothing") + critical


def _authority(view: Extended) -> str:
    if not view["ca"]:
        return "no"
    match view["path_length"]:
        case None:
            return "yes, with any number of CAs below it"
        case 0:
            return "yes, for leaves only"
        case limit:
            return f"yes, with {count(limit, 'CA')} below it at most"


def _constraints(constraints: Constraints) -> Iterator[Row]:
    for label, names in (
        ("permits", constraints["permitted"]),
        ("excludes", constraints["excluded"]),
    ):
        for name in names:
            yield label, f"{printable(name['kind'])} {printable(name['value']) or '(all)'}"


def _identifiers(own: str | None, issuer: str | None) -> Iterator[Row]:
    if own is not None:
        yield "key id", own
    if issuer is not None:
        yield "issuer id", issuer


def _others(extensions: Iterable[OtherExtension]) -> Iterator[Row]:
    for extension in extensions:
        critical = ", critical" if extension["critical"] else ""
        data = extension["value"]
        shown = data[: 2 * MAX_VALUE_SHOWN] + ("…" if len(data) > 2 * MAX_VALUE_SHOWN else "")
        yield "extension", f"{extension['name']}{critical}, {len(data) // 2} bytes: {shown}"


def _distinguished(name: str) -> str:
    return printable(name, backslash=False) or "(empty)"


def _left(seconds: int) -> str:
    duration = timedelta(seconds=seconds)
    return f"{span(duration)} left" if seconds >= 0 else f"EXPIRED {span(duration)} ago"
