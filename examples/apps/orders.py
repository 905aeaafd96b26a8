"""The orders service: plain HTTP on loopback, for whoever the sidecar lets through.

Run it: PORT=8080 python orders.py
"""

from __future__ import annotations

import os

from aiohttp import web

ORDERS = ("2 kettles", "1 teapot", "12 cups")


async def orders(request: web.Request) -> web.Response:
    # The sidecar writes this field and throws away what callers put there: it can be believed.
    asked_by = request.headers.get("x-forwarded-client-cert", "nobody known")
    return web.json_response({"orders": ORDERS, "asked_by": asked_by})


async def ledger(request: web.Request) -> web.Response:
    """Nobody but this machine should ever see this; the sidecar's `deny` rule sees to it."""
    del request
    return web.json_response({"ledger": "42 in the red"})


def main() -> None:
    app = web.Application()
    app.router.add_get("/api/orders", orders)
    app.router.add_get("/api/internal/ledger", ledger)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)


if __name__ == "__main__":
    main()
