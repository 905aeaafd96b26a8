"""One error for everything that `pki` refuses or cannot do.

The message is a lower-case sentence without full stop; `hints` say what would fix it. Neither
ever holds key material or a passphrase, so a command prints both as they are.
"""

from __future__ import annotations


class PkiError(Exception):
    """Something is refused or has failed; `hints` name the next step, one sentence each."""

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message)
        self.hints = hints


class RequestError(PkiError):
    """What was asked for is not allowed: a name, a key, a life time, a CSR."""


class AuthorityError(PkiError):
    """The CA cannot do it: no CA there, a key missing, unknown serial, already revoked."""


class PassphraseError(AuthorityError):
    """A CA key is encrypted, and the passphrase is missing or wrong."""


class StoreError(PkiError):
    """The index cannot be read or written (not there, locked, damaged, disk full)."""
