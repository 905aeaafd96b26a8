"""Traffic of four kinds through a pair, to see whether what happens meanwhile hurts it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Final, Self

from tests.e2e.clients import Http, plain
from tests.e2e.pairs import Pair

# A request after the other on one connection, on a new one each, words through one tunnel, a
# tunnel for each word.
KINDS: Final = ("kept", "fresh", "tunnel", "tunnels")


class Load:
    """Requests and tunnels through a pair, over and over, until it is told to end."""

    def __init__(self, pair: Pair, kinds: tuple[str, ...] = KINDS) -> None:
        self._ports = {name: pair.here.port(name) for name in ("web", "echo")}
        self._over = threading.Event()
        self.counts = dict.fromkeys(kinds, 0)
        self.failures: list[str] = []
        turns = zip(KINDS, (self._kept, self._fresh, self._tunnel, self._tunnels), strict=True)
        self._threads = [
            threading.Thread(target=self._run, args=(turn,))
            for kind, turn in turns
            if kind in kinds
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as failure:  # noqa: BLE001  whatever it was, the test wants to know
            self.failures.append(f"{work.__name__}: {failure!r}")

    def _request(self, http: Http, kind: str) -> None:
        answer = http.get(f"/{kind}")
        if answer.status != 200:
            self.failures.append(f"{kind}: {answer}")
        self.counts[kind] += 1

    def _kept(self) -> None:
        with Http(plain(self._ports["web"])) as http:
            while not self._over.is_set():
                self._request(http, "kept")

    def _fresh(self) -> None:
        while not self._over.is_set():
            with Http(plain(self._ports["web"])) as http:
                self._request(http, "fresh")

    def _talk(self, client: socket.socket, kind: str) -> None:
        data = b"%d" % self.counts[kind]
        client.sendall(data)
        if client.recv(100) != data:
            self.failures.append(kind)
        self.counts[kind] += 1

    def _tunnel(self) -> None:
        with plain(self._ports["echo"]) as client:
            while not self._over.is_set():
                self._talk(client, "tunnel")

    def _tunnels(self) -> None:
        while not self._over.is_set():
            with plain(self._ports["echo"]) as client:
                self._talk(client, "tunnels")
