"""The pages' own files: style, modules, icon. One digest over the whole folder stands in their addresses.

Mounted by `routes.routes`. Because the digest is part of the path and not of the query, a module's relative imports
carry it too, so everything may be cached permanently without a build step. Pages are not compressed (they carry the
form's token together with what people wrote); these files are.
"""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).resolve().parent.parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"


@cache
def digest() -> str:
    """Return twelve hex digits that change with any of the files."""
    whole = sha256()
    for path in sorted(FOLDER.iterdir()):
        whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()[:12]


def url(name: str) -> str:
    """Return the address of a file of the directory."""
    return f"/static/{digest()}/{name}"


@cache
def gzipped(name: str) -> bytes:
    """Return a text file of the directory, compressed once."""
    return gzip.compress((FOLDER / name).read_bytes(), 9, mtime=0)


class Files(StaticFiles):
    """The folder, with the headers of something that never changes."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file; one requested under an older digest is answered with the current file, not cached."""
        asked, _, name = path.partition("/")
        response = await super().get_response(name, scope)
        if response.status_code == 200 and "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            response = Response(gzipped(name), media_type=response.media_type, headers={"Content-Encoding": "gzip"})
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = FOR_EVER if asked == digest() else "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
