"""The command line as data: what can be typed, with its help. Nothing is done here.

The parser imports nothing heavy, so `pki --help` and completion answer at once. Each command
names the function that runs it as `module:function` in `pki.commands`; `pki.cli` imports that
module when its command is called, and cryptography with it. The help texts are also the source
of `docs/pki.md`.
"""

from __future__ import annotations

import argparse

from pki import arguments as arg
from pki.names import parse_trust_domain
from pki.profile import parse_duration


def build_parser() -> arg.Parser:
    """The whole command line of `pki`."""
    parser = arg.Parser(
        prog="pki",
        description="A mini certificate authority for workload identities (SPIFFE X.509-SVID).",
        epilog=arg.examples(
            (
                "pki init --dir ca --trust-domain demo.local",
                "pki issue --dir ca --spiffe-id spiffe://demo.local/ns/shop/sa/web --out web",
                "pki verify web",
            )
        )
        + "\n\nexit codes: 0 ok, 1 failed, 2 wrong usage, 3 a check found something",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for add in (
        _init, _issue, _sign, _renew, _revoke, _ls, _show, _verify, _crl, _bundle, _rotate,
        _log, _completion,
    ):  # fmt: skip
        add(commands)
    return parser


def _init(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "init",
        "authority:init",
        "make a new CA",
        "Make a CA: a root, an issuing intermediate under it, and an empty index. All of its\n"
        "files are below DIR; root/ca.key may be taken to an offline medium afterwards.",
        (
            "pki init --dir ca --trust-domain demo.local",
            "pki init --dir ca --trust-domain demo.local --passphrase",
            "pki init --dir ca --trust-domain demo.local --permit-dns shop.example.com",
        ),
    )
    arg.directory(parser)
    parser.add_argument(
        "--trust-domain",
        required=True,
        metavar="NAME",
        type=arg.value(parse_trust_domain),
        help="the trust domain of every identity that this CA issues, e.g. demo.local",
    )
    parser.add_argument(
        "--permit-dns",
        action="append",
        default=[],
        metavar="TREE",
        help="a DNS tree that leaves may have names in; repeat it for more. It becomes a"
        " constraint in the CA certificates. Without it: private names only, such as"
        " one-label names, *.local, *.internal and *.svc",
    )
    parser.add_argument(
        "--max-ttl",
        metavar="DURATION",
        type=arg.value(parse_duration),
        help="the longest life that a leaf may be given (default: 90d)",
    )
    arg.key_type(parser, "p256", "the type of the two CA keys")
    parser.add_argument(
        "--passphrase", action="store_true", help="encrypt the CA keys; asks for the passphrase"
    )
    arg.passphrase(parser, "encrypt the CA keys with the first line of FILE")
    arg.json_output(parser)


def _issue(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "issue",
        "issuing:issue",
        "issue a certificate with a new key",
        "Issue a certificate for one identity, with a new private key, and write both.",
        (
            "pki issue --dir ca --spiffe-id spiffe://demo.local/ns/shop/sa/web --out web",
            "pki issue --dir ca --spiffe-id spiffe://demo.local/db --dns db --ttl 7d --out db",
            "pki issue --dir ca --spiffe-id spiffe://demo.local/db --format k8s-secret \\",
            "  --name db-tls --out - | kubectl apply -f -",
        ),
    )
    arg.directory(parser)
    arg.names(parser)
    arg.ttl(parser)
    arg.key_type(parser, "p256", "the type of the new key")
    arg.output(parser, required=True)
    arg.passphrase(parser)
    arg.json_output(parser)


def _sign(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "sign",
        "issuing:sign",
        "issue a certificate for the key of a CSR",
        "Issue a certificate for the public key of a certificate signing request. The names\n"
        "are those given here: a request that asks for anything else is refused.",
        (
            "pki sign --dir ca --csr web.csr --spiffe-id spiffe://demo.local/web --out web",
            "pki sign --dir ca --csr - --spiffe-id spiffe://demo.local/web < web.csr > tls.crt",
        ),
    )
    arg.directory(parser)
    parser.add_argument(
        "--csr", required=True, metavar="FILE", help="the request, PEM or DER; - is standard input"
    )
    arg.names(parser)
    arg.ttl(parser)
    parser.add_argument(
        "--out",
        default="-",
        metavar="FOLDER",
        help="write tls.crt and ca.crt there; - (the default) prints the chain",
    )
    arg.passphrase(parser)
    arg.json_output(parser)


def _renew(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "renew",
        "issuing:renew",
        "issue again for the same names, with a new key",
        "Issue a certificate with the names and the life time of an earlier one and a new\n"
        "key. The earlier one stays valid until it expires or is revoked.",
        (
            "pki renew --dir ca web",
            'pki renew --dir ca "$SERIAL" --ttl 12h --out web',
        ),
    )
    arg.directory(parser)
    arg.which(parser)
    arg.ttl(parser)
    arg.key_type(parser, None, "the type of the new key, if not that of the earlier one")
    arg.output(parser, required=False)
    arg.passphrase(parser)
    arg.json_output(parser)


def _revoke(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "revoke",
        "issuing:revoke",
        "revoke a certificate",
        "Record that a certificate is no longer to be trusted. Peers learn it from the next\n"
        "CRL: run `pki crl` and hand it out.",
        (
            "pki revoke --dir ca web --reason keyCompromise",
            'pki revoke --dir ca "$SERIAL" && pki crl --dir ca --out crl.pem',
        ),
    )
    arg.directory(parser)
    arg.which(parser)
    parser.add_argument(
        "--reason",
        choices=arg.REASONS,
        metavar="REASON",
        default=arg.REASONS[0],
        help=f"why: {', '.join(arg.REASONS)} (default: %(default)s)",
    )
    arg.passphrase(parser, "only to revoke an intermediate: the passphrase of the CA keys")
    arg.json_output(parser)


def _ls(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "ls",
        "index:ls",
        "list what was issued",
        "List issued certificates, newest first. All filters given must hold.",
        (
            "pki ls --dir ca --expiring 7d",
            "pki ls --dir ca --spiffe 'spiffe://demo.local/ns/shop/**' --json",
            "pki ls --dir ca --spiffe 'ns/*/sa/web' --revoked",
        ),
    )
    arg.directory(parser)
    parser.add_argument(
        "--expiring",
        metavar="DURATION",
        type=arg.value(parse_duration),
        help="only those that end within this time from now and are not revoked",
    )
    parser.add_argument(
        "--spiffe",
        metavar="GLOB",
        help="only these identities; * is one path segment, ** any number. Without spiffe://"
        " it is a path in the CA's own trust domain",
    )
    parser.add_argument("--revoked", action="store_true", help="only revoked ones")
    parser.add_argument("--role", choices=arg.ROLES, help="only leaves, intermediates or roots")
    parser.add_argument(
        "--limit",
        type=arg.count,
        default=50,
        metavar="N",
        help="how many at a time, 1 to 10000 (default: %(default)s)",
    )
    parser.add_argument(
        "--before",
        type=int,
        metavar="SEQ",
        help="the next page: continue below this number, which the page before has printed",
    )
    arg.json_output(parser)


def _show(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "show",
        "inspect:show",
        "show certificates, requests and CRLs of any make",
        "Show what is in files of certificates, chains, requests and CRLs, PEM or DER, or in\n"
        "the tls.crt, ca.crt and crl.pem of a folder. Nothing is verified, and private keys\n"
        "are never read. Exit code 1 if something in them is malformed.",
        (
            "pki show web",
            "pki show request.csr other-ca.pem --json",
            "openssl s_client -connect host:9443 -showcerts < /dev/null | pki show -",
        ),
    )
    parser.add_argument("what", nargs="+", metavar="FILE", help="a file, a folder, or - for stdin")
    arg.json_output(parser)


def _verify(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "verify",
        "inspect:verify",
        "say whether a chain is good, and all that is wrong with it",
        "Check a chain against RFC 5280 and the SPIFFE rules: path, signatures, time, key\n"
        "strength, usages, name constraints, identity, trust domain, revocation. Says what\n"
        "is wrong, in which certificate and which field. Exit code 3 if anything is.",
        (
            "pki verify web",
            "pki verify tls.crt --ca ca.crt --crl crl.pem",
            "pki verify tls.crt --ca ca.crt --at 2027-01-01 --json",
        ),
    )
    parser.add_argument(
        "what",
        metavar="FILE",
        help="the chain, leaf first; or a folder with tls.crt, ca.crt and, if they are there,"
        " tls.key and crl.pem; or - for stdin",
    )
    _trust(parser)
    parser.add_argument(
        "--trust-domain",
        metavar="NAME",
        type=arg.value(parse_trust_domain),
        help="the trust domain that the identity must belong to (default: the root's)",
    )
    parser.add_argument(
        "--purpose",
        choices=arg.PURPOSES,
        metavar="PURPOSE",
        default=arg.PURPOSES[0],
        help="what it is to be used for: workload (both sides of mutual TLS), server, client,"
        " or ca, to look at a CA certificate itself (default: %(default)s)",
    )
    parser.add_argument(
        "--at", metavar="TIME", type=arg.time, help="as of that time, RFC 3339, UTC (default: now)"
    )
    arg.json_output(parser)


def _trust(parser: arg.Parser) -> None:
    parser.add_argument(
        "--ca",
        action="append",
        default=[],
        metavar="FILE",
        help="the roots to trust; repeat it for more (default: ca.crt of the folder)",
    )
    parser.add_argument(
        "--crl",
        action="append",
        default=[],
        metavar="FILE",
        help="revocation lists; repeat it for more (default: crl.pem of the folder, if there)",
    )


def _crl(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "crl",
        "publish:crl",
        "write the revocation lists of all issuers",
        "Sign a current CRL of every intermediate and of the root, and write them into one\n"
        "PEM file: the crl.pem of an identity folder. The root's last one is used while its\n"
        "key is away.",
        ("pki crl --dir ca --out web/crl.pem", "pki crl --dir ca | pki show -"),
    )
    arg.directory(parser)
    arg.out_file(parser)
    arg.passphrase(parser)


def _bundle(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "bundle",
        "publish:bundle",
        "write the roots to trust",
        "Write the trust bundle: the CA's root certificates as PEM, or as the JSON document\n"
        "that SPIFFE federation exchanges.",
        ("pki bundle --dir ca --out ca.crt", "pki bundle --dir ca --format spiffe"),
    )
    arg.directory(parser)
    parser.add_argument(
        "--format", choices=("pem", "spiffe"), default="pem", help="default: %(default)s"
    )
    arg.out_file(parser)


def _rotate(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "rotate",
        "authority:rotate",
        "make the next intermediate",
        "Make a new issuing intermediate under the same root; new leaves are signed by it.\n"
        "Peers trust the root, so nothing has to be handed out. Needs root/ca.key.",
        ("pki rotate --dir ca",),
    )
    arg.directory(parser)
    arg.key_type(parser, "p256", "the type of its key")
    arg.passphrase(parser)
    arg.json_output(parser)


def _log(commands: arg.Commands[arg.Parser]) -> None:
    group = commands.add_parser(
        "log",
        help="check the issuance log",
        description="The hash-chained log of everything that was issued and revoked.",
        allow_abbrev=False,
    )
    inner = group.add_subparsers(metavar="COMMAND", required=True, title="commands")
    parser = arg.command(
        inner,
        "verify",
        "index:verify_log",
        "check that nothing in the index was changed",
        "Check every record of the log against the chain of hashes, and the index against\n"
        "the log. Exit code 3 if anything differs. A chain cannot show that its end was cut\n"
        "off: note the head that this prints elsewhere, and give it back with --head.",
        ("pki log verify --dir ca", 'pki log verify --dir ca --head "$HEAD"'),
    )
    arg.directory(parser)
    parser.add_argument(
        "--head",
        metavar="HASH",
        type=arg.head,
        help="a head that was noted before; it must be in the chain",
    )
    arg.json_output(parser)


def _completion(commands: arg.Commands[arg.Parser]) -> None:
    parser = arg.command(
        commands,
        "completion",
        "completion:completion",
        "print a completion script for the shell",
        "Print a script that teaches bash or zsh to complete `pki` commands.",
        (
            "pki completion bash > ~/.local/share/bash-completion/completions/pki",
            "pki completion zsh > ~/.zfunc/_pki",
        ),
    )
    parser.add_argument("shell", choices=arg.SHELLS, metavar="SHELL", help=" or ".join(arg.SHELLS))
