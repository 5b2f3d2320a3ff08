"""Which callbacks listen to an event: an index in memory, per workspace and revision.

Asked by `accept` for every event. Everything that can be decided before an event comes is decided when the
index is made, so that a thousand callbacks that do not match cost little more than one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from hookyard.callbacks.spec import CallbackSpec
from hookyard.callbacks.template import Template, parse
from hookyard.conditions.condition_set import ConditionSet
from hookyard.conditions.conditions import reads_batch
from hookyard.conditions.static_match import Alternatives, StaticConditions, parse_static
from hookyard.core.errors import InvalidError, NotFoundError
from hookyard.core.ids import CallbackId, WorkspaceId
from hookyard.core.verdicts import GateVerdict
from hookyard.events.catalog import Catalog
from hookyard.events.event_types import load_catalog
from hookyard.events.model import RESERVED_SOURCES, WORKSPACE_SOURCE, AuthorTrust, Event
from hookyard.store import schema
from hookyard.store.database import Database

_KEPT = 2000
"""Workspaces whose index stays in memory; the one that was used longest ago goes first."""


@dataclass(frozen=True, slots=True)
class CallbackListener:
    """One version of a callback, ready to be matched.

    Attributes:
        callback_id: The callback.
        version: Its version.
        spec: What it says.
        template: Its prompt, parsed.
        serves_anyone: It takes events whose author is not trusted.
        reads_batch: Its condition reads a batch variable: judged on the merged event.
        simple: Its condition, when that needs no engine.
        agent: As `runs` stores it: a profile's name, or JSON of an inline agent.
    """

    callback_id: CallbackId
    version: int
    spec: CallbackSpec
    template: Template
    serves_anyone: bool
    reads_batch: bool
    simple: Alternatives | None
    agent: str

    @property
    def key(self) -> str:
        """Names this version's condition for the evaluator."""
        return f"{self.callback_id}:{self.version}"


@dataclass(frozen=True, slots=True)
class ConditionPlan:
    """What has to be judged for one event type and one kind of author.

    Attributes:
        conditions: The conditions that need the engine, in the order of the listeners.
        judged: Index of the listener of each.
        simple: The conditions that need none.
        unconditional: Indexes of the listeners that want every event: they are `PENDING` from the start.
        verdicts: One per listener, before anything is judged: `AUTHOR` where that gate stops it, `CONDITION` where
            there is one, `PENDING` elsewhere.
    """

    conditions: ConditionSet
    judged: tuple[int, ...]
    simple: StaticConditions
    unconditional: tuple[int, ...]
    verdicts: tuple[GateVerdict, ...]


@dataclass(frozen=True, slots=True)
class EventListeners:
    """Who listens to one event type at one revision.

    Attributes:
        id: Of the `listener_sets` row.
        row: That row's JSON: `[[callbackId, version], …]`.
        all: The listeners, oldest callback first.
        questions: What to judge: by `passes_author_gate`, and by whether merging is on by default.
    """

    id: str
    row: str
    all: tuple[CallbackListener, ...]
    questions: Mapping[tuple[bool, bool], ConditionPlan]

    @classmethod
    def of(cls, workspace_id: WorkspaceId, listeners: Sequence[CallbackListener]) -> EventListeners:
        """Decide for some listeners what can be decided before an event comes."""
        row = json.dumps([[one.callback_id, one.version] for one in listeners], separators=(",", ":"))
        name = hashlib.blake2b(f"{workspace_id}\n{row}".encode(), digest_size=12).hexdigest()
        questions = {
            (vouched, merging): _condition_plan(listeners, vouched=vouched, merging=merging)
            for vouched in (True, False)
            for merging in (True, False)
        }
        return cls(name, row, tuple(listeners), questions)


def merges(listener: CallbackListener, *, merging: bool) -> bool:
    """Return whether a callback's events are merged, by its own setting or else the workspace's."""
    return merging if listener.spec.merge.enabled is None else listener.spec.merge.enabled


def _condition_plan(listeners: Sequence[CallbackListener], *, vouched: bool, merging: bool) -> ConditionPlan:
    conditions: list[tuple[str, str]] = []
    judged: list[int] = []
    simple: list[tuple[int, Alternatives]] = []
    verdicts: list[GateVerdict] = []
    for index, one in enumerate(listeners):
        if not vouched and not one.serves_anyone:
            verdicts.append(GateVerdict.AUTHOR)
        elif not one.spec.condition or (one.reads_batch and merges(one, merging=merging)):
            verdicts.append(GateVerdict.PENDING)
        else:
            verdicts.append(GateVerdict.CONDITION)
            if one.simple is not None:
                simple.append((index, one.simple))
            else:
                conditions.append((one.key, one.spec.condition))
                judged.append(index)
    unconditional = tuple(index for index, verdict in enumerate(verdicts) if verdict is GateVerdict.PENDING)
    return ConditionPlan(
        ConditionSet.of(conditions), tuple(judged), StaticConditions.of(simple), unconditional, tuple(verdicts)
    )


@dataclass(frozen=True, slots=True)
class CallbackIndex:
    """The callbacks of a workspace at one revision.

    Attributes:
        workspace_id: The workspace.
        revision: Of the workspace; when it has moved, the index is of no use any more.
        catalog: The event types.
        by_event: Listeners by event name.
    """

    workspace_id: WorkspaceId
    revision: int
    catalog: Catalog
    by_event: Mapping[str, EventListeners]


class CallbackIndexes:
    """The indexes that are in use, by workspace.

    Args:
        database: Where callbacks are read from.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[WorkspaceId, CallbackIndex] = {}
        self._loading: dict[WorkspaceId, asyncio.Task[CallbackIndex]] = {}

    def known(self, workspace_id: WorkspaceId) -> CallbackIndex | None:
        """Return the index in memory, if any; it may be of an older revision."""
        return self._known.get(workspace_id)

    def forget(self, index: CallbackIndex) -> None:
        """Drop an index that turned out to be of an older revision."""
        if self._known.get(index.workspace_id) is index:
            del self._known[index.workspace_id]

    async def load(self, workspace_id: WorkspaceId) -> CallbackIndex:
        """Read the index; callers at once share one reading.

        Raises:
            NotFoundError: No such workspace.
        """
        task = self._loading.get(workspace_id)
        if task is None:
            task = asyncio.create_task(self._load(workspace_id))
            self._loading[workspace_id] = task
            task.add_done_callback(lambda _: self._loading.pop(workspace_id, None))
        return await asyncio.shield(task)

    async def _load(self, workspace_id: WorkspaceId) -> CallbackIndex:
        index = await self._database.read(lambda conn: load_index(conn, workspace_id))
        self._known.pop(workspace_id, None)
        while len(self._known) >= _KEPT:
            del self._known[next(iter(self._known))]
        self._known[workspace_id] = index
        return index


def load_index(conn: Connection, workspace_id: WorkspaceId) -> CallbackIndex:
    """Read the callbacks of a workspace.

    Raises:
        NotFoundError: No such workspace.
    """
    revision = conn.execute(
        select(schema.workspaces.c.revision).where(schema.workspaces.c.id == workspace_id)
    ).scalar_one_or_none()
    if revision is None:
        raise NotFoundError("there is no such workspace", where=workspace_id)
    table = schema.callbacks
    rows = conn.execute(
        select(table.c.id, table.c.version, table.c.spec)
        .where(table.c.workspace_id == workspace_id, table.c.deleted_at.is_(None), table.c.enabled)
        .order_by(table.c.id)
    )
    open_profiles = profiles_for_anyone(conn)
    by_event: dict[str, list[CallbackListener]] = {}
    for callback_id, version, spec in rows:
        listener = compile_listener(CallbackId(callback_id), version, CallbackSpec.load(spec), open_profiles)
        for name in listener.spec.events:
            by_event.setdefault(name, []).append(listener)
    return CallbackIndex(
        workspace_id,
        revision,
        load_catalog(conn),
        {name: EventListeners.of(workspace_id, listeners) for name, listeners in by_event.items()},
    )


def profiles_for_anyone(conn: Connection) -> frozenset[str]:
    """Return the names of the agent profiles that serve events of people who are not members."""
    table = schema.agent_profiles
    return frozenset(
        name
        for name, config in conn.execute(select(table.c.name, table.c.config))
        if json.loads(config).get("authors") == "anyone"
    )


def compile_listener(
    callback_id: CallbackId, version: int, spec: CallbackSpec, open_profiles: frozenset[str]
) -> CallbackListener:
    """Make a stored version ready to be matched."""
    if isinstance(spec.agent, str):
        agent, open_agent = spec.agent, spec.agent in open_profiles
    else:
        agent, open_agent = json.dumps(spec.agent, sort_keys=True), spec.agent.get("authors") == "anyone"
    try:
        template = parse(spec.prompt)
    except InvalidError:
        # Saved by a hookyard with other rules: the text as it stands is better than no run at all.
        template = Template((spec.prompt,))
    return CallbackListener(
        callback_id=callback_id,
        version=version,
        spec=spec,
        template=template,
        serves_anyone=open_agent and spec.authors != "members",
        reads_batch=bool(spec.condition) and reads_batch(spec.condition),
        simple=parse_static(spec.condition),
        agent=agent,
    )


def passes_author_gate(event: Event) -> bool:
    """Return whether the author gate lets an event through to agents that serve members.

    A member wrote it; or the author is unknown, but the sender holds a token of the workspace. At an inbound webhook
    anyone can write, so there an unknown author is treated as an outsider.
    """
    if event.author_trust is AuthorTrust.UNKNOWN:
        return not event.source.startswith(RESERVED_SOURCES) or event.source == WORKSPACE_SOURCE
    return event.author_trust is AuthorTrust.MEMBER


def load_version(
    conn: Connection, workspace_id: WorkspaceId, callback_id: CallbackId, version: int
) -> CallbackSpec | None:
    """Return one version of a callback, or None when it is of another workspace or was pruned."""
    table = schema.callback_versions
    text = conn.execute(
        select(table.c.spec).where(
            table.c.workspace_id == workspace_id, table.c.callback_id == callback_id, table.c.version == version
        )
    ).scalar_one_or_none()
    return None if text is None else CallbackSpec.load(text)
