"""The methods that an address of the API takes: HEAD wherever GET is, and all of them listed in a 405.

The framework does neither. Used by `application`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send


class HeadMiddleware:
    """The middleware that serves a HEAD as its GET; the server leaves the body out.

    Args:
        app: What it is wrapped around.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def allowed(document: Mapping[str, Any], path: str) -> set[str]:
    """Return the methods of an address (RFC 9110, section 15.5.6).

    Args:
        document: The OpenAPI document.
        path: The address, the base included.
    """
    paths: Mapping[str, Mapping[str, Any]] = document["paths"]
    methods = {method.upper() for one in paths if compile_path(one)[0].match(path) for method in paths[one]}
    return methods | {"HEAD"} if "GET" in methods else methods
