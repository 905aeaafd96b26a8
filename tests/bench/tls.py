"""The TLS layer beside the loop's own, both ends in one process, on both loops.

    python -m tests.bench.tls [--seconds 2] [--json] [--only uvloop/ours]

What is measured, each for one end of a connection: the memory of an idle one, an echo of 200 bytes
(requests/s, CPU microseconds), a one-way stream of 64 KiB writes (CPU microseconds for each MiB),
and new mutual handshakes through an intermediate.

The proxies' benchmark (`python -m tests.bench`) says what that means for users. This one is for
whoever changes `net/tls`: both ends are the layer under test, so nothing dilutes the difference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, cast

import uvloop

from sidecar.net.contexts import Credentials, client_context, server_context
from sidecar.net.tls import TlsConnection
from tests.certs import TestCA
from tests.net.kit import resident

PARALLEL: Final = 32
MESSAGE: Final = b"x" * 200
BLOCK: Final = b"y" * 65536
IDLE: Final = 500
Factory = Callable[[], asyncio.Protocol]


class Echo(asyncio.Protocol):
    """Send back whatever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it
        self.write = self.transport.write

    def data_received(self, data: bytes) -> None:
        self.write(data)


class Sink(Echo):
    """Count bytes."""

    total = 0

    def data_received(self, data: bytes) -> None:
        Sink.total += len(data)


class Pinger(Echo):
    """Keep one message going round."""

    count = 0
    stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write(MESSAGE)

    def data_received(self, data: bytes) -> None:
        Pinger.count += 1
        if not Pinger.stopped:
            self.write(MESSAGE)


class Source(Echo):
    """Send blocks for as long as the other side takes them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flowing = True
        self.pump()

    def pause_writing(self) -> None:
        self.flowing = False

    def resume_writing(self) -> None:
        self.flowing = True
        self.pump()

    def pump(self) -> None:
        for _ in range(8):
            if self.flowing:
                self.write(BLOCK)
        if self.flowing and not Pinger.stopped:
            asyncio.get_running_loop().call_soon(self.pump)


class Bench:
    """One way to put TLS on connections: the loop's own, or ours."""

    def __init__(self, *, ours: bool) -> None:
        self.ours = ours
        root = TestCA("demo.local")
        leaves = [root.intermediate().leaf() for _ in range(2)]
        made = [Credentials(leaf.chain_pem, leaf.key_pem, root.pem, None) for leaf in leaves]
        self.server_context = server_context(made[0])
        self.client_context = client_context(made[1])

    async def listen(self, factory: Factory) -> tuple[asyncio.Server, int]:
        loop = asyncio.get_running_loop()
        if self.ours:
            wrapped = partial(wrap, self.server_context, factory, server_side=True)
            server = await loop.create_server(wrapped, "127.0.0.1", 0, backlog=1024)
        else:
            server = await loop.create_server(
                factory, "127.0.0.1", 0, ssl=self.server_context, backlog=1024
            )
        return server, server.sockets[0].getsockname()[1]

    async def connect(self, factory: Factory, port: int) -> asyncio.BaseTransport:
        loop = asyncio.get_running_loop()
        if not self.ours:
            transport, _ = await loop.create_connection(
                factory, "127.0.0.1", port, ssl=self.client_context, server_hostname=""
            )
            return transport
        ready: asyncio.Future[None] = loop.create_future()

        def made() -> asyncio.Protocol:
            ready.set_result(None)
            return factory()

        layer = wrap(self.client_context, made, server_side=False)
        await loop.create_connection(lambda: layer, "127.0.0.1", port)
        await ready
        return layer


def wrap(context: ssl.SSLContext, factory: Factory, *, server_side: bool) -> TlsConnection:
    return TlsConnection(
        context,
        server_side=server_side,
        on_ready=lambda _: factory(),
        on_failed=lambda reason, detail: print(reason.code, detail, file=sys.stderr),
    )


async def echo(bench: Bench, seconds: float) -> dict[str, float]:
    server, port = await bench.listen(Echo)
    Pinger.stopped = False
    pingers = [await bench.connect(Pinger, port) for _ in range(PARALLEL)]
    await asyncio.sleep(seconds / 5)
    count, cpu, wall = Pinger.count, time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    count = Pinger.count - count
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await finish(server, pingers)
    return {"requests_s": count / wall, "request_us": cpu / count / 2 * 1e6}


async def stream(bench: Bench, seconds: float) -> dict[str, float]:
    server, port = await bench.listen(Sink)
    Pinger.stopped = False
    sources = [await bench.connect(Source, port) for _ in range(2)]
    await asyncio.sleep(seconds / 5)
    total, cpu = Sink.total, time.process_time()
    await asyncio.sleep(seconds)
    mebibytes = (Sink.total - total) / 1048576
    cpu = time.process_time() - cpu
    await finish(server, sources)
    return {"mib_us": cpu / mebibytes / 2 * 1e6}


async def handshakes(bench: Bench, seconds: float) -> dict[str, float]:
    server, port = await bench.listen(Sink)
    cpu, wall, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - wall < seconds:
        transports = [await bench.connect(Sink, port) for _ in range(16)]
        count += len(transports)
        for transport in transports:
            transport.close()
        await asyncio.sleep(0)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await finish(server, [])
    return {"handshakes_s": count / wall, "handshake_us": cpu / count / 2 * 1e6}


async def memory(bench: Bench, _: float) -> dict[str, float]:
    server, port = await bench.listen(Echo)
    first = [await bench.connect(Echo, port) for _ in range(20)]
    before = resident()
    transports = [await bench.connect(Echo, port) for _ in range(IDLE)]
    grown = resident() - before
    await finish(server, first + transports)
    return {"idle_bytes": grown / IDLE / 2}


async def finish(server: asyncio.Server, transports: list[asyncio.BaseTransport]) -> None:
    Pinger.stopped = True
    await asyncio.sleep(0.05)
    for transport in transports:
        transport.close()
    server.close()
    await asyncio.sleep(0.05)


MEASURES: Final[tuple[Callable[[Bench, float], Coroutine[Any, Any, dict[str, float]]], ...]] = (
    memory, echo, stream, handshakes,
)  # fmt: skip
LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


NAMES: Final = tuple(f"{loop}/{layer}" for loop in LOOPS for layer in ("own", "ours"))


def run(name: str, seconds: float) -> dict[str, float]:
    """All measures of one loop and layer, in this process."""
    loop, _, layer = name.partition("/")
    found: dict[str, float] = {}
    for measure in MEASURES:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            found |= runner.run(measure(Bench(ours=layer == "ours"), seconds))
    return found


def run_apart(name: str, seconds: float) -> dict[str, float]:
    """The same in a process of its own: memory that was freed once hides what is needed now."""
    command = [sys.executable, "-m", "tests.bench.tls", "--only", name, "--seconds", str(seconds)]
    printed = subprocess.run([*command, "--json"], capture_output=True, check=True).stdout
    values: dict[str, float] = json.loads(printed)[name]
    return values


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description="benchmark of the TLS layer")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=NAMES)
    arguments = parser.parse_args()
    if arguments.only:
        found = {arguments.only: run(arguments.only, arguments.seconds)}
    else:
        found = {name: run_apart(name, arguments.seconds) for name in NAMES}
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    columns = list(next(iter(found.values())))
    print(f"{'':16}" + "".join(f"{column:>14}" for column in columns))
    for name, values in found.items():
        print(f"{name:16}" + "".join(f"{values[column]:14.1f}" for column in columns))


if __name__ == "__main__":
    main()
