"""The path rule: what policy decides about is, byte for byte, what the application gets.

A path is read by two programs, and rules about it are worth something only if both read the
same. The usual way to get there is to imitate the other program: remove dot segments, merge
slashes, cut parameters. There are as many ways to do that as there are servers. So a listener
whose rules name paths accepts only paths that every server reads alike, and refuses the rest:

* A path is `/` segments, none of them empty, `.` or `..`; only the last may be empty (`/a/`).
* A segment is made of `A-Z a-z 0-9 - . _ ~ ! $ & ' ( ) * + , = : @` and escapes.
* An escape (`%` and two hex digits) is not a control character and not one of the characters at
  which servers cut a target (slash, backslash, `?`, `#`, `;`). Beyond ASCII it is UTF-8.
* Two spellings are rewritten, on the way in and before anything looks: escaped letters, digits
  and `- . _ ~` are decoded, hex digits become upper case (RFC 3986 section 6.2.2). `%25` stays
  as it is, so what was escaped twice does not come apart here.

`canonical` is that rule, for listeners with rules about paths. `plain` is what the others ask
for: a target that fits into a request line, forwarded as it came. Both take the origin form
(RFC 9112 section 3.2.1). The caller cuts scheme and authority off the absolute form, and passes
`*` by for OPTIONS: neither is a path.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits
from typing import Final

from sidecar.core.ids import RefusedError
from sidecar.core.reasons import BAD_PATH

# Path, and query with its `?` or empty. A bare tuple: one is made for every request.
Target = tuple[str, str]


def canonical(target: str) -> Target:
    """Return `target` with its path in the one spelling, or raise `RefusedError` (BAD_PATH).

    The query is no part of policy and stays as it is; it must be visible ASCII without `#`.
    """
    if "?" not in target and _PATH(target):  # as most are: there is nothing to do
        return target, ""
    path, mark, query = target.partition("?")
    if "%" in path:
        path = _ESCAPE.sub(_respell, path)
    if not _PATH(path):
        raise RefusedError(BAD_PATH, f"the path has {_fault(path)}")
    if query and not _VISIBLE(query):
        raise RefusedError(BAD_PATH, _NOT_VISIBLE)
    return path, mark + query


def plain(target: str) -> Target:
    """Return `target` as it is, or raise `RefusedError`: visible ASCII without `#`, from `/` on."""
    if not target.startswith("/") or not _VISIBLE(target):
        raise RefusedError(BAD_PATH, _NOT_VISIBLE)
    path, mark, query = target.partition("?")
    return path, mark + query


def decoded(path: str) -> str:
    """Return what an application reads in a canonical `path`: rules are compared by this.

    RFC 3986 lets `@` and `%40` differ, but servers decode both to the same name, so a rule about
    one is a rule about the other. `%25` and escapes beyond ASCII are left: each has one spelling
    already. Two canonical paths come out equal exactly if they decode to equal bytes.
    """
    return _ASCII_ESCAPE.sub(_read, path) if "%" in path else path


_UNRESERVED: Final = frozenset(ascii_letters + digits + "-._~")
_NOT_VISIBLE: Final = "the target is not visible ASCII that begins with a slash and has no #"

# RFC 3986 section 3.3 (pchar) without the semicolon.
_CHAR: Final = r"[A-Za-z0-9._~!$&'()*+,=:@-]"
# Printable ASCII that needs or keeps its escape, without # / ; ? and the backslash.
_ASCII: Final = r"%(?:2[0-24-9A-C]|3[ACDE]|40|5[BDE]|60|7[B-D])"
# RFC 3629 section 4: no overlong forms, no surrogates, nothing past U+10FFFF.
_TAIL: Final = r"%[89AB][0-9A-F]"
_UTF8: Final = (
    rf"%(?:C[2-9A-F]|D[0-9A-F]){_TAIL}"
    rf"|%E0%[AB][0-9A-F]{_TAIL}|%E[1-9A-CEF](?:{_TAIL}){{2}}|%ED%[89][0-9A-F]{_TAIL}"
    rf"|%F0%[9AB][0-9A-F](?:{_TAIL}){{2}}|%F[1-3](?:{_TAIL}){{3}}|%F4%8[0-9A-F](?:{_TAIL}){{2}}"
)
# Possessive throughout: a path is read once, however it is made.
_SEGMENT: Final = rf"/(?!\.{{0,2}}(?:/|\Z)){_CHAR}*+(?:(?:{_ASCII}|{_UTF8}){_CHAR}*+)*+"
_PATH: Final = re.compile(rf"(?=/)(?:{_SEGMENT})*+/?").fullmatch
_VISIBLE: Final = re.compile(r"[!-\"$-~]+").fullmatch
# A lone % is found too, so that what it would become part of cannot make it whole: %2%35.
_ESCAPE: Final = re.compile(r"%(?:[0-9A-Fa-f]{2})?")
_ASCII_ESCAPE: Final = re.compile(r"%(?!25)[0-7][0-9A-F]")

# What is said about a path that `_PATH` refuses; nothing is decided here.
_FAULTS: Final = tuple(
    (re.compile(pattern), fault)
    for pattern, fault in (
        (r"\A(?!/)", "no slash at its beginning"),
        (r"[\x00-\x20\x7f]", "a control character or a space"),
        (r"[^\x00-\x7f]", "a byte beyond ASCII that is not escaped"),
        (r"#", "a fragment"),
        (r"\\|%5C", "a backslash"),
        (r";|%3B", "a semicolon"),
        (r"%2F", "an escaped slash"),
        (r"%3F|%23", "an escaped ? or #"),
        (r"%[01]|%7F", "an escaped control character"),
        (r"/\.\.?(?:/|\Z)", "a dot segment"),
        (r"//", "an empty segment"),
        (rf"(?!{_CHAR}|[%/]).", "a character that must be escaped"),
    )
)


def _fault(path: str) -> str:
    faults = (fault for pattern, fault in _FAULTS if pattern.search(path))
    return next(faults, "escapes that are not UTF-8")


def _respell(match: re.Match[str]) -> str:
    escape = match[0]
    if len(escape) == 1:
        raise RefusedError(BAD_PATH, "the path has a % without two hex digits")
    char = chr(int(escape[1:], 16))
    return char if char in _UNRESERVED else escape.upper()


def _read(match: re.Match[str]) -> str:
    return chr(int(match[0][1:], 16))
