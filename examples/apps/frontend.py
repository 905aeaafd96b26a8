"""The shop's frontend: plain HTTP in, and plain HTTP out to the orders service by ORDERS_URL.

Run it: PORT=8081 ORDERS_URL=http://127.0.0.1:9001 python frontend.py

ORDERS_URL is a loopback port of the sidecar. What it answers is passed on as it is, refusals too.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import ClientError, ClientSession, web

ORDERS_URL: Final = web.AppKey("orders_url", str)
SESSION: Final = web.AppKey("session", ClientSession)
PASSED_ON: Final = ("content-type", "x-sidecar-reason")


async def shop(request: web.Request) -> web.Response:
    return await ask(request, "/api/orders")


async def ledger(request: web.Request) -> web.Response:
    return await ask(request, "/api/internal/ledger")


async def ask(request: web.Request, path: str) -> web.Response:
    """Ask the orders service, under the same request id so that both logs can be joined."""
    sent = {key: request.headers[key] for key in ("x-request-id",) if key in request.headers}
    try:
        async with request.app[SESSION].get(request.app[ORDERS_URL] + path, headers=sent) as answer:
            back = {key: answer.headers[key] for key in PASSED_ON if key in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=back)
    except ClientError as error:
        return web.Response(status=502, text=f"orders cannot be reached: {error}\n")


async def with_session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession() as app[SESSION]:
        yield


def main() -> None:
    app = web.Application()
    app[ORDERS_URL] = os.environ["ORDERS_URL"]
    app.cleanup_ctx.append(with_session)
    app.router.add_get("/", shop)
    app.router.add_get("/ledger", ledger)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)


if __name__ == "__main__":
    main()
