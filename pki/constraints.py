"""Name constraints as verifiers read them (RFC 5280 section 4.2.1.10, and OpenSSL's `nc_match`).

A permitted tree of one kind of name forbids every name of that kind outside of all its trees and
says nothing about other kinds. A URI tree without a leading dot is one host and no other.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509


def outside(
    names: Iterable[x509.GeneralName], constraints: x509.NameConstraints
) -> list[x509.GeneralName]:
    """The names that a CA with these constraints may not sign."""
    permitted, excluded = constraints.permitted_subtrees or (), constraints.excluded_subtrees or ()
    return [
        name
        for name in names
        if not _permitted(name, permitted) or any(_covers(tree, name) for tree in excluded)
    ]


def _permitted(name: x509.GeneralName, trees: Iterable[x509.GeneralName]) -> bool:
    same_kind = [tree for tree in trees if type(tree) is type(name)]
    return not same_kind or any(_covers(tree, name) for tree in same_kind)


def _covers(tree: x509.GeneralName, name: x509.GeneralName) -> bool:
    match tree, name:
        case x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier():
            return name.value.partition("://")[2].partition("/")[0] == tree.value
        case x509.DNSName(), x509.DNSName():
            return f".{name.value}".endswith(f".{tree.value}")
        case x509.IPAddress(), x509.IPAddress():
            return name.value in tree.value
        case _:
            return False  # a kind that is never signed here
