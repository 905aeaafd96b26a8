"""Parse, set the scene, tell the story, clean up.

Exit codes: 0 if every step came out as it should, 1 if not, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from examples.demo import shop, summary
from examples.demo.processes import DemoError
from examples.demo.shop import CONFIGS, Shop
from examples.demo.story import Story
from examples.demo.ui import Console, wants_colour

_PICTURE = """\
frontend app -> its sidecar == mutual TLS ==> sidecar -> orders app
                              intruder's sidecar ==^"""


def main(argv: Sequence[str] | None = None, templates: Path = CONFIGS) -> int:
    """Run the demo and return the exit code; `templates` has the sidecars' configurations."""
    args = _parser().parse_args(argv)
    stream = io.StringIO() if args.json else sys.stdout
    console = Console(stream, wants_colour(stream, os.environ))
    try:
        return _run(console, args, templates)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        for line in error.hint.splitlines():
            print(f"hint: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; everything is cleaned up", file=sys.stderr)
        return 130  # what a shell reports for SIGINT


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--keep", action="store_true", help="leave it running in the end, until Ctrl-C"
    )
    how.add_argument("--json", action="store_true", help="print the summary, as JSON, and no story")
    return parser


def _run(console: Console, args: argparse.Namespace, templates: Path) -> int:
    with shop.opened(console) as place:
        _set_the_scene(place, templates)
        results = Story(place, console).tell()
        console.heading("Summary")
        console.table(summary.HEAD, summary.rows(results))
        ok = summary.is_ok(results)
        console.heading(summary.verdict(results))
        if args.json:
            print(summary.to_json(results))
        if args.keep:
            _keep(place)
    return 0 if ok else 1


def _set_the_scene(place: Shop, templates: Path) -> None:
    console = place.console
    console.line("mtls-sidecar: the whole story, with real processes", "bold")
    console.prose(f"All files are in {place.folder} until it ends; `make demo KEEP=1` keeps it.")
    console.heading("A CA, and a certificate for each of three workloads")
    with console.progress("making the CA and the certificates"):
        place.certify()
    console.heading("Two applications that know nothing of TLS, and three sidecars")
    for line in _PICTURE.splitlines():
        console.line("   " + line, "cyan")
    with console.progress("starting until all of them serve"):
        place.configure(templates)
        place.start()


def _keep(place: Shop) -> None:
    """Say what to try, and wait for Ctrl-C, which is the good end here."""
    place.console.heading("Everything is left running. Try, in another terminal:")
    for line in things_to_try(place):
        place.console.line("   " + line, "cyan")
    place.console.heading("Ctrl-C ends it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        place.console.line()


def things_to_try(place: Shop) -> list[str]:
    """Commands with the ports and paths of this run."""
    ports, certs = place.ports, place.folder / "certs"
    here = "http://127.0.0.1"
    frontend = f"--cert {certs}/frontend/tls.crt --key {certs}/frontend/tls.key"
    there = f"https://127.0.0.1:{ports['orders_mtls']}"
    return [
        f"curl {here}:{ports['frontend_app']}/",
        f"curl -i {here}:{ports['frontend_out']}/api/internal/ledger",
        f"curl -i {here}:{ports['intruder_out']}/api/orders",
        f"curl --cacert {place.root} {frontend} {there}/api/orders",
        f"curl --cacert {place.root} {there}/api/orders",
        f"curl {here}:{ports['orders_admin']}/metrics",
        f"tail -f {place.folder}/orders.log",
        f"cat {place.folder}/orders.yaml",
    ]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
