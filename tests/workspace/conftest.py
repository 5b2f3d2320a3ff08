"""What the tests of the workspace share: an empty database with its tables, and a stand-in for the path of events."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Connection

from hookyard.clock import SystemClock
from hookyard.events.model import Draft
from hookyard.ids import EventId, Ids, UserId, WorkspaceId
from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.workspace.actor import Actor
from hookyard.workspace.comments import Comments
from hookyard.workspace.members import Members
from hookyard.workspace.tasks import Tasks
from hookyard.workspace.tokens import Tokens
from hookyard.workspace.workspaces import Workspaces


@dataclass(frozen=True)
class Taken:
    """An event that was taken."""

    event_id: EventId
    duplicate_of: EventId | None = None


@dataclass
class Ledger:
    """Takes events as the real path does, rows and all in one transaction, and keeps them to be looked at."""

    db: Database
    ids: Ids
    taken: list[tuple[WorkspaceId, Draft]] = field(default_factory=list)

    async def accept(
        self, workspace_id: WorkspaceId, drafts: Sequence[Draft], *, apply: Callable[[Connection], None] | None = None
    ) -> list[Taken]:
        """Take them."""
        if apply is not None:
            await self.db.write(apply)
        self.taken += [(workspace_id, draft) for draft in drafts]
        return [Taken(self.ids.event()) for _ in drafts]

    def names(self) -> list[str]:
        """Names of the events so far."""
        return [draft.name for _, draft in self.taken]


@dataclass
class Place:
    """A workspace with everything that works in it."""

    db: Database
    ledger: Ledger
    workspaces: Workspaces
    members: Members
    tasks: Tasks
    comments: Comments
    tokens: Tokens
    id: WorkspaceId
    actor: Actor


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A database with its tables."""
    with Database(database_url) as database:
        migrations.upgrade(database)
        yield database


@pytest.fixture
async def place(db: Database) -> Place:
    """The workspace `w`, and somebody who works in it."""
    clock = SystemClock()
    ids = Ids(clock)
    ledger = Ledger(db, ids)
    workspaces = Workspaces(db, clock, ids)
    made = await workspaces.create("Our work", "w")
    return Place(
        db,
        ledger,
        workspaces,
        Members(db, ledger, clock, ids),
        Tasks(db, ledger, clock, ids),
        Comments(db, ledger, clock, ids),
        Tokens(db, clock, ids),
        made.id,
        Actor(UserId("u1"), "王五"),
    )
