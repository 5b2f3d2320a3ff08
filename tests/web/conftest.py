"""What the tests of the server share: the whole server on a port of its own, on an empty database."""

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from sqlalchemy import select

from hookyard import wiring
from hookyard.core.ids import UserId, WorkspaceId
from hookyard.identity.tokens import Scope
from hookyard.settings import Settings
from hookyard.store import migrations, schema
from hookyard.store.database import Database
from hookyard.web.connection import Connection
from hookyard.web.services import Services
from hookyard.workspace.actor import Actor

ADMIN_TOKEN = "an administrator's token, for the tests only"


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """A caller of the API.

    Attributes:
        http: The connections.
        address: Where the server is.
        token: What the caller shows.
    """

    http: aiohttp.ClientSession
    address: str
    token: str | None

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | AsyncIterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Ask; `body` is sent as JSON, `data` as it is."""
        given = dict(headers or {})
        if self.token is not None:
            given["authorization"] = f"Bearer {self.token}"
        if body is not None:
            data = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        async with self.http.request(
            method, self.address + path, data=data, headers=given, allow_redirects=False
        ) as answer:
            shown = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, shown, await answer.read())

    async def get(self, path: str) -> Answer:
        """GET."""
        return await self.request("GET", path)

    async def post(self, path: str, body: object = None, **more: Any) -> Answer:
        """POST."""
        return await self.request("POST", path, body, **more)


@dataclass
class Server:
    """The server, and a client for each kind of caller.

    Attributes:
        admin: With the administrator's token of the environment.
        member: A member of workspace `w`.
        ingest: May send events to `w`.
        stranger: A member of workspace `x`.
        nobody: Without a token.
    """

    services: Services
    admin: Client
    member: Client
    ingest: Client
    stranger: Client
    nobody: Client

    def client(self, token: str | None) -> Client:
        """A caller with a token."""
        return Client(self.admin.http, self.admin.address, token)

    async def events(self, workspace: str = "w") -> list[str]:
        """Names of the workspace's events, oldest first; the member who joined first left out."""
        table = schema.events.c
        query = select(table.name).where(table.workspace_id == workspace).order_by(table.id)
        names = await self.services.database.read(lambda conn: list(conn.execute(query).scalars()))
        assert names[0] == "workspace.member_joined"
        return names[1:]


class QuietServer(uvicorn.Server):
    """uvicorn that tells when it is ready and leaves the signals to the tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """An application on a free port; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        http = QuietServer(uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_config=None))
        task = asyncio.create_task(http.serve(sockets=[listener]))
        await http.ready.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        http.should_exit = True
        await task


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and nothing else, to be copied."""
    path = tmp_path_factory.mktemp("template") / "hookyard.db"
    with Database(f"sqlite:///{path}") as database:
        migrations.upgrade(database)
    return path


@pytest.fixture
async def server(tmp_path: Path, empty_database: Path) -> AsyncIterator[Server]:
    """Workspaces `w` and `x`, each with one member."""
    shutil.copy(empty_database, tmp_path / "hookyard.db")
    environ = {"HOOKYARD_HOME": str(tmp_path), "HOOKYARD_ADMIN_TOKEN": ADMIN_TOKEN}
    async with wiring.running(Settings.load(environ), work=False) as app:
        services = app.services
        administrator = await services.accounts.by_login("admin")
        shown: dict[str, str] = {}
        for workspace, user in (("w", "u1"), ("x", "u2")):
            made = await services.workspaces.create(f"Workspace {workspace}", workspace)
            await services.members.add(made.id, user, f"name of {user}", Actor(administrator.id, "Administrator"))
            _, shown[workspace] = await services.tokens.create("t", Scope.MEMBER, made.id, UserId(user))
        _, ingest = await services.tokens.create("t", Scope.INGEST, WorkspaceId("w"), administrator.id)
        async with serving(app.asgi) as address, aiohttp.ClientSession() as http:
            callers = (ADMIN_TOKEN, shown["w"], ingest, shown["x"], None)
            yield Server(services, *(Client(http, address, token) for token in callers))
