"""What stands around every page: the workspaces to choose from, the counts of the navigation, the load of the workers.

The counts are kept for a second a workspace: fifty open pages ask once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, func, select

from hookyard.identity.accounts import User
from hookyard.store import schema
from hookyard.web.services import Services

FRESH_SECONDS = 1.0
CLOSED = ("done", "closed", "cancelled", "resolved")
"""Statuses of finished tasks; they are not counted and stand last on the board."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A workspace to choose."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class PageLayout:
    """The frame's content.

    Attributes:
        workspace: The one that the page is of, None outside one.
        workspaces: Those that the reader may enter, by name.
        tasks: Open tasks.
        automations: Callbacks, switched off ones included.
        running: Runs that execute now.
        waiting: Runs that wait.
        executing: Runs that execute in all workspaces together.
        places: How many may (`eventCallback.maxQueueSize`).
    """

    workspace: Choice | None = None
    workspaces: tuple[Choice, ...] = ()
    tasks: int = 0
    automations: int = 0
    running: int = 0
    waiting: int = 0
    executing: int = 0
    places: int = 0


@dataclass(frozen=True, slots=True)
class _Counts:
    at: float
    tasks: int
    automations: int
    running: int
    waiting: int
    executing: int


@dataclass(slots=True)
class _CachedLayout:
    counts: dict[str, _Counts] = field(default_factory=dict)


_KEPT: WeakKeyDictionary[object, _CachedLayout] = WeakKeyDictionary()


def forget(services: Services, workspace_id: str) -> None:
    """Count again: something was changed from a page of this workspace."""
    _kept(services).counts.pop(workspace_id, None)


def _kept(services: Services) -> _CachedLayout:
    return _KEPT.setdefault(services.database, _CachedLayout())


async def layout_of(services: Services, user: User, workspace_id: str, now: float) -> PageLayout:
    """Return the page layout for a reader in a workspace."""
    known = _kept(services).counts.get(workspace_id)
    fresh = known if known is not None and 0 <= now - known.at < FRESH_SECONDS else None

    def read(conn: Connection) -> tuple[tuple[Choice, ...], _Counts]:
        return _choices(conn, user), fresh or _counted(conn, workspace_id, now)

    choices, counts = await services.database.read(read)
    _kept(services).counts[workspace_id] = counts
    live = services.live.current
    here = next((choice for choice in choices if choice.id == workspace_id), None)
    return PageLayout(
        here,
        choices,
        counts.tasks,
        counts.automations,
        counts.running,
        counts.waiting,
        counts.executing,
        live.number("eventCallback.maxQueueSize"),
    )


def _choices(conn: Connection, user: User) -> tuple[Choice, ...]:
    spaces, members = schema.workspaces, schema.members
    query = select(spaces.c.id, spaces.c.name).order_by(spaces.c.name).limit(200)
    if not user.is_admin:
        query = query.join(members, members.c.workspace_id == spaces.c.id).where(members.c.user_id == user.id)
    return tuple(Choice(*row) for row in conn.execute(query))


def _counted(conn: Connection, workspace_id: str, now: float) -> _Counts:
    tasks, callbacks, runs = schema.tasks.c, schema.callbacks.c, schema.runs.c
    open_tasks = select(func.count()).where(
        tasks.workspace_id == workspace_id, tasks.deleted_at.is_(None), tasks.status.not_in(CLOSED)
    )
    automations = select(func.count()).where(callbacks.workspace_id == workspace_id, callbacks.deleted_at.is_(None))
    alive = (
        select(runs.status, func.count())
        .where(runs.workspace_id == workspace_id, runs.status.in_(("queued", "running")))
        .group_by(runs.status)
    )
    alive_here: dict[str, int] = dict(conn.execute(alive).all())
    everywhere = conn.execute(select(func.count()).where(runs.status == "running")).scalar_one()
    return _Counts(
        now,
        conn.execute(open_tasks).scalar_one(),
        conn.execute(automations).scalar_one(),
        alive_here.get("running", 0),
        alive_here.get("queued", 0),
        everywhere,
    )
