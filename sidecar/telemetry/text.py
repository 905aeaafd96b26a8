"""Text that somebody else chose, made fit for one line of a log (threat 29, log injection).

Two rules keep a line whole whatever is in it: it is JSON, so quotes and control characters are
escaped, and it is ASCII, so nothing that *some* reader takes for a line end or a terminal command
(U+0085, U+2028, C1 controls) is ever there. Lone surrogates, which JSON can spell and most readers
refuse, become their own visible names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping


def tame(text: str, bound: int) -> str:
    """Cut `text` to `bound` bytes of UTF-8 and say so at the end; spell out lone surrogates."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= bound:
        return raw.decode()
    return f"{raw[:bound].decode('utf-8', 'ignore')}...[{len(raw)} bytes]"


def tame_end(text: str, bound: int) -> str:
    """Like `tame`, but keep the end: of a traceback, that is the part that says what happened."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= bound:
        return raw.decode()
    return f"[{len(raw)} bytes]...{raw[len(raw) - bound :].decode('utf-8', 'ignore')}"


def json_line(fields: Mapping[str, object]) -> bytes:
    """Render one JSON object as a line of printable ASCII, without the line end."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii")
