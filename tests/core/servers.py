"""Small models of how real servers read a path, each a way that has differed from the others.

A model takes the path of a request target and returns its segments, as bytes, after everything
that its kind of server does before it looks for a handler or a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

Segments = list[bytes]
_OVERLONG = re.compile(rb"[\xc0\xc1]([\x80-\xbf])|\xe0\x80([\x80-\xbf])")


def by_the_book(path: str) -> Segments:
    """RFC 3986: split, then decode each segment."""
    return [unquote_to_bytes(segment) for segment in path.split("/")[1:]]


def decode_first(path: str) -> Segments:
    """WSGI, Go's URL.Path: decode the whole, then split."""
    return unquote_to_bytes(path).split(b"/")[1:]


def dots_then_decode(path: str) -> Segments:
    """A proxy that removes dot segments before it decodes."""
    return [unquote_to_bytes(segment) for segment in _without_dots(path.encode().split(b"/")[1:])]


def decode_then_dots(path: str) -> Segments:
    """nginx and Node's path.normalize: decode, then remove dot segments."""
    return _without_dots(decode_first(path))


def merge_slashes(path: str) -> Segments:
    """nginx, Envoy by option: several slashes are one, before decoding."""
    return by_the_book(re.sub("/+", "/", path))


def decode_then_merge(path: str) -> Segments:
    """Apache's MergeSlashes: several slashes are one, after decoding."""
    return re.sub(rb"/+", b"/", unquote_to_bytes(path)).split(b"/")[1:]


def tomcat(path: str) -> Segments:
    """Tomcat, Jetty: cut the parameters of each segment, decode, remove dots."""
    kept = [segment.partition(";")[0] for segment in path.split("/")[1:]]
    return _without_dots([unquote_to_bytes(segment) for segment in kept])


def late_params(path: str) -> Segments:
    """A framework behind a decoding server: parameters are cut after decoding."""
    return [segment.partition(b";")[0] for segment in decode_first(path)]


def iis(path: str) -> Segments:
    """IIS and ASP.NET: a backslash is a slash, and dot segments go last."""
    return _without_dots(unquote_to_bytes(path).replace(b"\\", b"/").split(b"/")[1:])


def rewriter(path: str) -> Segments:
    """Apache's mod_rewrite: what was decoded is split again at the question mark."""
    return unquote_to_bytes(path).partition(b"?")[0].split(b"/")[1:]


def fragment_cutter(path: str) -> Segments:
    """A client library between proxy and application that cuts a decoded fragment."""
    return unquote_to_bytes(path).partition(b"#")[0].split(b"/")[1:]


def c_string(path: str) -> Segments:
    """A file server in C: the name ends at the first NUL."""
    return unquote_to_bytes(path).partition(b"\0")[0].split(b"/")[1:]


def line_reader(path: str) -> Segments:
    """A CGI or log-driven application: the name ends at the first line break."""
    return re.split(rb"[\r\n]", unquote_to_bytes(path))[0].split(b"/")[1:]


def overlong(path: str) -> Segments:
    """An old UTF-8 decoder that takes %C0%AF for a slash."""
    decoded = _OVERLONG.sub(_low_bits, unquote_to_bytes(path))
    return _without_dots(decoded.split(b"/")[1:])


MODELS: tuple[Callable[[str], Segments], ...] = (
    by_the_book,
    decode_first,
    dots_then_decode,
    decode_then_dots,
    merge_slashes,
    decode_then_merge,
    tomcat,
    late_params,
    iis,
    rewriter,
    fragment_cutter,
    c_string,
    line_reader,
    overlong,
)


def readings(path: str) -> set[tuple[bytes, ...]]:
    """Return what the models read, each different reading once."""
    return {tuple(model(path)) for model in MODELS}


def _without_dots(segments: Segments) -> Segments:
    """Remove dot segments (RFC 3986 section 5.2.4)."""
    kept: Segments = []
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1:] in ([b"."], [b".."]):
        kept.append(b"")
    return kept


def _low_bits(found: re.Match[bytes]) -> bytes:
    lead, tail = found[0][-2], found[0][-1]
    return bytes([((lead & 0x1F) << 6 | tail & 0x3F) & 0x7F])
