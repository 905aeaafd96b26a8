"""Applications that know nothing of TLS: some well-behaved, some not.

`TcpApplication` serves each connection with a plain function in a thread of its own, so an
application is whatever a test can say with a socket. `web` is a real HTTP server (aiohttp).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from aiohttp import WSMsgType, web

from tests.e2e.harness import PATIENCE_S

Serve = Callable[[socket.socket], None]

CHUNK: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)


class TcpApplication:
    """A server on loopback, or on a UNIX socket; `str()` of it is its address."""

    def __init__(self, serve: Serve, path: Path | None = None) -> None:
        self._serve = serve
        self._path = path
        self._port = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket
        self.accepted = 0
        self.start()

    def __str__(self) -> str:
        return f"unix:{self._path}" if self._path else f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, at the same place as before."""
        if self._path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._path))
            self._listener.listen(128)
        else:
            self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
            self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more and reset what is open."""
        # Closing a socket does not wake a thread in accept(); shutting it down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._path:
            self._path.unlink(missing_ok=True)
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    reset(connection)
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        with contextlib.suppress(OSError):
            self._serve(connection)
        with self._lock:
            self._open.discard(connection)
            connection.close()


@contextlib.contextmanager
def tcp(serve: Serve, path: Path | None = None) -> Iterator[TcpApplication]:
    """Run a TCP application until the block ends."""
    application = TcpApplication(serve, path)
    try:
        yield application
    finally:
        application.stop()


# --- what a TCP application may do -------------------------------------------------------------


def echo(connection: socket.socket) -> None:
    """Send back what comes, as it comes."""
    while data := connection.recv(CHUNK):
        connection.sendall(data)


def answer_at_end(connection: socket.socket) -> None:
    """Read to the end of the stream; only then say how long it was and what its hash is."""
    digest, length = hashlib.sha256(), 0
    while data := connection.recv(CHUNK):
        digest.update(data)
        length += len(data)
    connection.sendall(f"{length} {digest.hexdigest()}".encode())


def silence(connection: socket.socket) -> None:
    """Take everything and say nothing, until the other side is gone."""
    while connection.recv(CHUNK):
        pass


def reset(connection: socket.socket) -> None:
    """Let the next close of a socket be a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


# --- what an HTTP application may do wrong ------------------------------------------------------


class Script:
    """An HTTP application that answers each request on a connection with the next of some bytes.

    After the last it closes. `heads` are the request heads that it has read.
    """

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self.heads: queue.Queue[bytes] = queue.Queue()

    def __call__(self, connection: socket.socket) -> None:
        for answer in self._answers:
            head = read_head(connection)
            if not head:
                return
            self.heads.put(head)
            connection.sendall(answer)

    def head(self) -> bytes:
        """The next request head that came in."""
        return self.heads.get(timeout=PATIENCE_S)


def read_head(connection: socket.socket) -> bytes:
    """Read to the end of a head, byte by byte so that nothing after it is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return b""
        head += byte
    return head


# --- a whole HTTP application ------------------------------------------------------------------


class WebApplication:
    """An aiohttp server in a thread. `gate` holds back what `/gate` and `/events` send.

    `waiting` counts requests that stand before the gate.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.address = ""
        self.waiting = 0
        self.reached: list[str] = []  # paths that got as far as here
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Semaphore(0)
        self._started = threading.Event()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(PATIENCE_S)

    def __str__(self) -> str:
        return self.address

    def open_gate(self, times: int = 1) -> None:
        """Let so many through."""
        for _ in range(times):
            self._loop.call_soon_threadsafe(self._gate.release)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/blob/{size}", self._blob)
        application.router.add_route("*", "/status/{status}", self._status)
        application.router.add_get("/gate", self._wait)
        application.router.add_get("/events", self._events)
        application.router.add_get("/socket", self._socket)
        application.router.add_get("/socket/", self._socket)
        application.router.add_route("*", "/{rest:.*}", self._mirror)
        runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        if self._path:
            await web.UnixSite(runner, str(self._path)).start()
            self.address = f"unix:{self._path}"
        else:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.address = f"127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def _mirror(self, request: web.Request) -> web.StreamResponse:
        """Say what came."""
        self.reached.append(request.raw_path)
        body = await request.read()
        return web.json_response(
            {
                "method": request.method,
                "target": request.raw_path,
                "fields": [[key.lower(), value] for key, value in request.headers.items()],
                "length": len(body),
                "sha256": hashlib.sha256(body).hexdigest(),
            }
        )

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        """Send so many bytes, with a length, or with `?chunked` without."""
        left = int(request.match_info["size"])
        response = web.StreamResponse()
        if "chunked" in request.query:
            response.enable_chunked_encoding()
        else:
            response.content_length = left
        await response.prepare(request)
        while left > 0 and request.method != "HEAD":
            piece = blob(min(left, CHUNK))
            await response.write(piece)
            left -= len(piece)
        await response.write_eof()
        return response

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=int(request.match_info["status"]))

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        self.waiting += 1
        try:
            await self._gate.acquire()
        finally:
            self.waiting -= 1
        return web.Response(text="through\n")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Three events, each after a pass of the gate, as `text/event-stream`."""
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number in range(3):
            await self._gate.acquire()
            await response.write(b"data: %d\n\n" % number)
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket that sends back what comes."""
        self.reached.append(request.raw_path)
        socket = web.WebSocketResponse(max_msg_size=1 << 26)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket


@contextlib.contextmanager
def website(path: Path | None = None) -> Iterator[WebApplication]:
    """Run the HTTP application until the block ends."""
    application = WebApplication(path)
    try:
        yield application
    finally:
        application.stop()


def blob(size: int) -> bytes:
    """So many bytes that differ from their neighbours: a lost or doubled one shows in the hash."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]
