"""Name constraints as verifiers read them (RFC 5280 section 4.2.1.10, and OpenSSL's `nc_match`).

A permitted tree of one kind of name forbids every name of that kind outside of all its trees and
says nothing about other kinds. A URI tree without a leading dot is one host and no other.

Foreign certificates are judged here too, so what cannot be compared is outside: a name of a kind
that is constrained and not understood, a URI without a plain host, a wildcard that reaches into
an excluded tree (threat class: name constraints, CVE-2025-61727).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from cryptography import x509

_URI_HOST: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([A-Za-z0-9._-]+)(?:[/?#].*)?", re.DOTALL)


def outside(
    names: Iterable[x509.GeneralName], constraints: x509.NameConstraints
) -> list[x509.GeneralName]:
    """The names that a CA with these constraints may not sign."""
    permitted, excluded = constraints.permitted_subtrees or (), constraints.excluded_subtrees or ()
    return [name for name in names if not _permitted(name, permitted) or _excluded(name, excluded)]


def _permitted(name: x509.GeneralName, trees: Iterable[x509.GeneralName]) -> bool:
    same_kind = [tree for tree in trees if type(tree) is type(name)]
    return not same_kind or any(_covers(tree, name) for tree in same_kind)


def _excluded(name: x509.GeneralName, trees: Iterable[x509.GeneralName]) -> bool:
    """Whether any of `name` is in one of the trees, or nobody can tell."""
    same_kind = [tree for tree in trees if type(tree) is type(name)]
    if same_kind and not _comparable(name):
        return True
    return any(_covers(tree, name) or _reaches(name, tree) for tree in same_kind)


def _comparable(name: x509.GeneralName) -> bool:
    match name:
        case x509.UniformResourceIdentifier():
            return _URI_HOST.fullmatch(name.value) is not None
        case x509.DNSName() | x509.IPAddress() | x509.DirectoryName():
            return True
        case _:
            return False  # mailboxes and the like are never signed here


def _covers(tree: x509.GeneralName, name: x509.GeneralName) -> bool:
    match tree, name:
        case x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier():
            host = _URI_HOST.fullmatch(name.value)
            return host is not None and _host_covers(tree.value.lower(), host[1].lower())
        case x509.DNSName(), x509.DNSName():
            return _dns_covers(tree.value.lower(), name.value.lower())
        case x509.IPAddress(), x509.IPAddress():
            return isinstance(tree.value, IPv4Network | IPv6Network) and name.value in tree.value
        case x509.DirectoryName(), x509.DirectoryName():
            return name.value.rdns[: len(tree.value.rdns)] == tree.value.rdns
        case _:
            return False


def _host_covers(tree: str, host: str) -> bool:
    """A URI's tree: `demo.local` is that host, `.demo.local` every one below it."""
    return host.endswith(tree) and host != tree if tree.startswith(".") else host == tree


def _dns_covers(tree: str, name: str) -> bool:
    """A DNS tree: the name itself and everything below it; with a leading dot, only below."""
    return not tree or name == tree or name.endswith(tree if tree[0] == "." else f".{tree}")


def _reaches(name: x509.GeneralName, tree: x509.GeneralName) -> bool:
    """Whether a wildcard name matches something in a DNS tree: `*.a.b` reaches into `c.a.b`."""
    if not (isinstance(name, x509.DNSName) and isinstance(tree, x509.DNSName)):
        return False
    star, _, parent = name.value.lower().partition(".")
    return star == "*" and tree.value.lower().lstrip(".").partition(".")[2] == parent
