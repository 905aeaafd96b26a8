"""A client that knows HTTP from h11 and sends whatever bytes it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

import h11

GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection; use it as a context."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._http = h11.Connection(h11.CLIENT)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def send(self, data: bytes, chunk: int = 1 << 20) -> None:
        """Send raw bytes in pieces of at most `chunk`, each a write of its own."""
        for start in range(0, len(data), chunk):
            self._writer.write(data[start : start + chunk])
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """Wait until the server has taken everything; fail if it has not."""
        self._writer.transport.set_write_buffer_limits(0)
        await self._writer.drain()

    async def ask(self, request: bytes, chunk: int = 1 << 20) -> Response:
        """Send one raw request and read its answer."""
        await self.send(request, chunk)
        return await self.answer(request.partition(b" ")[0].decode("latin-1"))

    async def answer(self, method: str = "GET") -> Response:
        """Read the answer to a request that was sent with `method`."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        method = method if method in {"GET", "HEAD", "POST"} else "GET"
        self._http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        self._http.send(h11.EndOfMessage())
        head = await self._event()
        assert isinstance(head, h11.Response)
        body = b""
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Response(head.status_code, headers, body)

    async def ended(self) -> bytes:
        """Wait until the server has closed or cut the connection; return what came before."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(65536))
        return event
