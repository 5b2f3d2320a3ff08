"""What the tests of the workspace share: an empty database with its tables, and a stand-in for the path of events."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Connection

from hookyard.core.clock import SystemClock
from hookyard.core.ids import EventId, Ids, UserId, WorkspaceId
from hookyard.events.model import EventDraft
from hookyard.identity.tokens import Tokens
from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.workspace.actor import Actor
from hookyard.workspace.comments import Comments
from hookyard.workspace.members import Members
from hookyard.workspace.tasks import Tasks
from hookyard.workspace.workspaces import Workspaces


@dataclass(frozen=True)
class AcceptedDraft:
    """An event that was taken."""

    event_id: EventId
    duplicate_of: EventId | None = None


@dataclass
class Ledger:
    """Takes events as the real path does, rows and all in one transaction, and keeps them to be looked at."""

    database: Database
    ids: Ids
    taken: list[tuple[WorkspaceId, EventDraft]] = field(default_factory=list)

    async def accept(
        self,
        workspace_id: WorkspaceId,
        drafts: Sequence[EventDraft],
        *,
        apply: Callable[[Connection], None] | None = None,
    ) -> list[AcceptedDraft]:
        """Take them."""
        if apply is not None:
            await self.database.write(apply)
        self.taken += [(workspace_id, draft) for draft in drafts]
        return [AcceptedDraft(self.ids.event()) for _ in drafts]

    def names(self) -> list[str]:
        """Names of the events so far."""
        return [draft.name for _, draft in self.taken]


@dataclass
class WorkspaceEnvironment:
    """A workspace with everything that works in it."""

    database: Database
    ledger: Ledger
    workspaces: Workspaces
    members: Members
    tasks: Tasks
    comments: Comments
    tokens: Tokens
    id: WorkspaceId
    actor: Actor


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with its tables."""
    with Database(database_url) as database:
        migrations.upgrade(database)
        yield database


@pytest.fixture
async def env(database: Database) -> WorkspaceEnvironment:
    """The workspace `w`, and somebody who works in it."""
    clock = SystemClock()
    ids = Ids(clock)
    ledger = Ledger(database, ids)
    workspaces = Workspaces(database, clock, ids)
    made = await workspaces.create("Our work", "w")
    return WorkspaceEnvironment(
        database,
        ledger,
        workspaces,
        Members(database, ledger, clock, ids),
        Tasks(database, ledger, clock, ids),
        Comments(database, ledger, clock, ids),
        Tokens(database, clock, ids),
        made.id,
        Actor(UserId("u1"), "王五"),
    )
