"""The arguments that commands share: how they are spelled, read and explained.

What is typed is read by the parsers of the values themselves (`SpiffeID.parse`,
`parse_duration`, ...), so a name means the same on the command line and in a certificate.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeVar

from pki.errors import PkiError
from pki.names import InvalidNameError, SpiffeID
from pki.profile import parse_duration, parse_ip

# Written out, because the modules that define them load cryptography; a test compares the two.
KEY_TYPES: Final = ("p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096")
REASONS: Final = (
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
FORMATS: Final = ("folder", "p12", "k8s-secret")
PURPOSES: Final = ("workload", "server", "client", "ca")
ROLES: Final = ("leaf", "intermediate", "root")
SHELLS: Final = ("bash", "zsh")

T = TypeVar("T")


class UsageError(PkiError):
    """What was typed cannot be understood."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` where argparse would print and leave."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        raise UsageError(message, f"`{self.prog} --help` shows how it is used")


Commands = argparse._SubParsersAction  # noqa: SLF001  # argparse has no public name for it


def command(
    commands: Commands[Parser],
    name: str,
    run: str,
    summary: str,
    text: str,
    usage: tuple[str, ...],
) -> Parser:
    """Add a command: the `module:function` that runs it, one line for the list, what it does."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=examples(usage),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, json=False)
    return parser


def examples(lines: tuple[str, ...]) -> str:
    """Command lines as the end of a help text."""
    return "\n".join(("examples:", *(f"  {line}" for line in lines)))


def subcommands(parser: Parser) -> dict[str, Parser]:
    """The commands of a parser by name, in their order."""
    for action in parser._actions:  # noqa: SLF001  # argparse does not offer them otherwise
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as above
            return dict(action.choices)
    return {}


def directory(parser: Parser) -> None:
    """Which CA."""
    parser.add_argument("--dir", required=True, metavar="DIR", help="the CA's directory")


def json_output(parser: Parser) -> None:
    """For programs."""
    parser.add_argument("--json", action="store_true", help="print JSON; errors too, on stderr")


def names(parser: Parser) -> None:
    """Who the certificate is for."""
    parser.add_argument(
        "--spiffe-id",
        required=True,
        metavar="ID",
        type=value(SpiffeID.parse),
        help="the identity, e.g. spiffe://demo.local/ns/shop/sa/web",
    )
    parser.add_argument(
        "--dns", action="append", default=[], metavar="NAME", help="a DNS name; repeat for more"
    )
    parser.add_argument(
        "--ip",
        action="append",
        default=[],
        metavar="ADDRESS",
        type=value(parse_ip),
        help="an IP address; repeat for more",
    )


def ttl(parser: Parser) -> None:
    """How long it lasts."""
    parser.add_argument(
        "--ttl",
        metavar="DURATION",
        type=value(parse_duration),
        help="how long it lasts, as 90s, 15m, 24h or 7d (default: that of the CA, or of the"
        " certificate that is renewed)",
    )


def key_type(parser: Parser, default: str | None, text: str) -> None:
    """Which kind of key is made; no default where the earlier one decides."""
    text += f": {', '.join(KEY_TYPES)}"
    if default:
        text += " (default: %(default)s)"
    parser.add_argument("--key-type", choices=KEY_TYPES, metavar="TYPE", default=default, help=text)


def which(parser: Parser) -> None:
    """A certificate that was issued, by serial number or by the file that it is in."""
    parser.add_argument(
        "which",
        metavar="SERIAL",
        help="the serial number; or the certificate file, or the folder with its tls.crt",
    )


def output(parser: Parser, *, required: bool) -> None:
    """Where a certificate and its key go, and in which shape."""
    default = "" if required else " (default: the folder that is renewed)"
    parser.add_argument(
        "--out",
        required=required,
        metavar="PATH",
        help=f"where to: a folder, or for the other formats a file{default}; - prints a"
        " k8s-secret, key and all",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        default=FORMATS[0],
        help="folder: tls.crt, tls.key and ca.crt in one; p12: an encrypted PKCS#12 file;"
        " k8s-secret: a Kubernetes Secret manifest (default: %(default)s)",
    )
    parser.add_argument(
        "--p12-passphrase-file",
        metavar="FILE",
        help="encrypt the PKCS#12 file with the first line of FILE (default: ask)",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the Kubernetes Secret")
    parser.add_argument("--namespace", metavar="NAME", help="its namespace")


def passphrase(parser: Parser, text: str = "") -> None:
    """Where the passphrase of the CA keys comes from: never from an argument."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help=text or "the passphrase of the CA keys is the first line of FILE (default: ask)",
    )


def out_file(parser: Parser) -> None:
    """Where a public file goes."""
    parser.add_argument(
        "--out", default="-", metavar="FILE", help="where to; - (the default) prints it"
    )


def value(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse say what our own parsers say."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except InvalidNameError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        except PkiError as error:
            hint = f" ({'; '.join(error.hints)})" if error.hints else ""
            raise argparse.ArgumentTypeError(f"{error}{hint}") from error

    return convert


def count(text: str) -> int:
    """Read how many entries a page has."""
    if re.fullmatch(r"[1-9][0-9]{0,3}|10000", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:20]!a} is not a number from 1 to 10000")


def head(text: str) -> str:
    """Read the hash of a log record."""
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return text.lower()
    raise argparse.ArgumentTypeError(f"{text[:80]!a} is not the hash of a record (64 hex digits)")


def time(text: str) -> datetime:
    """RFC 3339 or a date; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text[:40]!a} is not a time such as 2027-01-01 or 2027-01-01T12:00:00Z"
        raise argparse.ArgumentTypeError(message) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
