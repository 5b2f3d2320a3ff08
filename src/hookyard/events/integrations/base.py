"""What an integration consists of, and how changes at a service become events.

A service is one file of this package that holds a `SOURCE`; `hookyard.events.integrations.integrations` finds it. The
file says how its deliveries are verified and what they mean in the words of a `TaskChange`; `translated` makes the
events of it, the same for all services. Called by `web` (the endpoint) and `workspace` (mirrored tasks, comments posted
back). Sends nothing and stores nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from hookyard.core.errors import PermanentError
from hookyard.core.validation import sanitize_text
from hookyard.events.catalog import Value
from hookyard.events.envelope import MAX_ATTRIBUTE
from hookyard.events.integrations.payload import without
from hookyard.events.model import AuthorTrust, EventDraft, integration_source


@dataclass(frozen=True, slots=True)
class Person:
    """A person at a service.

    Attributes:
        id: Their id there, as text.
        name: The name that people see.
        login: What they sign in with; the name when there is none.
    """

    id: str
    name: str
    login: str = ""

    def is_one_of(self, identities: frozenset[str]) -> bool:
        """Return whether an id, name or login (in lower case) is theirs."""
        return not identities.isdisjoint({self.id.lower(), self.login.lower()} - {""})


NOBODY = Person("", "")


@dataclass(frozen=True, slots=True)
class MirroredTask:
    """A service's issue as the workspace keeps it, so that an agent can read it and comment on it.

    Attributes:
        task_id: As people say it, such as `owner/repo#12` or `PRJ-7`.
        url: Its page; what its UUID is made of.
        title: Its title.
        type: `issue`, `pull_request`, `bug`, … in lower case.
        status: Its status, in the service's words.
        assignee: Who works on it, None when unassigned.
        labels: Its labels.
        description: Its description, None when the delivery does not say it.
        untold: Which of `title`, `type`, `status`, `assignee` and `labels` the delivery does not say: what is known
            stays.
        former_url: Its page before it was moved, when the delivery reports a move.
        created_by: Name of who made it, None when the delivery does not say it.
        created_at: When it was made, seconds since the epoch, None when the delivery does not say it.
    """

    task_id: str
    url: str
    title: str
    type: str
    status: str
    assignee: Person = NOBODY
    labels: tuple[str, ...] = ()
    description: str | None = None
    untold: frozenset[str] = frozenset()
    former_url: str | None = None
    created_by: str | None = None
    created_at: float | None = None

    @property
    def db_id(self) -> str:
        """The `taskDBId` of its URL."""
        return id_of(self.url)


def id_of(url: str) -> str:
    """Return the UUIDv5 of an issue's page (RFC 9562, section 6.6: namespace of URLs)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, url))


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment at a service.

    Attributes:
        id: Its id there, as text.
        content: Its text.
        author: Who wrote it.
    """

    id: str
    content: str
    author: Person


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What happened to a task, in no service's words.

    Attributes:
        task: The task as it is now.
        actor: Who did it.
        author_trust: Who wrote what the events carry.
        at: When, seconds since the epoch, or None.
        created: It is new.
        deleted: It is gone.
        changes: What changed, with the new values; None = nothing did.
        status_changed: Its status is among them.
        reassigned: Its assignee is among them.
        comment: A comment was added.
    """

    task: MirroredTask
    actor: Person
    author_trust: AuthorTrust = AuthorTrust.UNKNOWN
    at: float | None = None
    created: bool = False
    deleted: bool = False
    changes: Mapping[str, object] | None = None
    status_changed: bool = False
    reassigned: bool = False
    comment: Comment | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """What one delivery means.

    Attributes:
        delivery_id: The service's id of it: the operationId of its events.
        happening: What happened, for the mirror.
        drafts: The events, all of one operation.
    """

    delivery_id: str
    happening: TaskChange
    drafts: tuple[EventDraft, ...]


@dataclass(frozen=True, slots=True)
class CommentRequest:
    """The POST that adds a comment at a service; 2xx means it is there.

    Attributes:
        url: Where to.
        headers: With the credential in them: never to be shown.
        body: JSON.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


class Integration(Protocol):
    """One service.

    Attributes:
        kind: Its name in `/in/{kind}/{workspace}`.
        title: Its name for people.
        home: Where it lives when nothing else is configured, or None when it must be configured.
    """

    kind: str
    title: str
    home: str | None

    def verify(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, secret: str, now: float
    ) -> bool:
        """Return whether a delivery was sent by the service.

        Args:
            headers: Names in lower case.
            query: Parameters of the URL.
            body: As received.
            secret: What was agreed with the service; with an empty one nothing verifies.
            now: Seconds since the epoch.
        """
        ...

    def translate(
        self, headers: Mapping[str, str], body: bytes, own: frozenset[str] = frozenset()
    ) -> Translation | None:
        """Return what a verified delivery means here, or None when it means nothing or reports our own change.

        Args:
            headers: Names in lower case.
            body: As received.
            own: Ids or logins of the credential that we post with, in lower case.

        Raises:
            InvalidError: It cannot be read.
        """
        ...

    def comment(
        self, task_id: str, task_url: str, content: str, credential: str, home: str | None = None
    ) -> CommentRequest:
        """Return the request that comments on a mirrored task.

        Raises:
            PermanentError: The task is not at the configured home, so that the credential must not be sent there.
        """
        ...


def ignore_own_changes(happening: TaskChange | None, own: frozenset[str]) -> TaskChange | None:
    """Return a task change without what our own credential did, or None when nothing remains.

    A comment of ours stays ours when another person's action brings it along.

    Args:
        happening: What a delivery means.
        own: Ids or logins of the credential that we post with, in lower case.
    """
    if happening is None or happening.actor.is_one_of(own):
        return None
    if happening.comment is None or not happening.comment.author.is_one_of(own):
        return happening
    return None if happening.changes is None else replace(happening, comment=None)


def translated(
    kind: str, delivery_id: str, happening: TaskChange, ids: Mapping[str, str] = MappingProxyType({})
) -> Translation | None:
    """Return the events of a task change, or None when there are none.

    All share the delivery's id as operationId. The first also has it as its id; further ones add their name to it, for
    ids are unique within a source.

    Args:
        kind: The service.
        delivery_id: Its id of the delivery.
        happening: What the delivery means.
        ids: Other ids, by name of the event, for what a service tells in two deliveries.

    Raises:
        InvalidError: The number of its issue is longer than the index of tasks takes.
    """
    if len(happening.task.task_id) > MAX_ATTRIBUTE:
        raise without(kind, "says no issue that could be: its number is too long")
    told = [each for each in _events(happening) if each is not None]
    delivery = delivery_id[: MAX_ATTRIBUTE - 50]
    drafts = tuple(
        EventDraft(
            name=name,
            variables=variables,
            source=integration_source(kind),
            source_id=ids.get(name, delivery if index == 0 else f"{delivery}:{name}"),
            operation_id=delivery,
            occurred_at=happening.at,
            author_trust=happening.author_trust,
        )
        for index, (name, variables) in enumerate(told)
    )
    return Translation(delivery, happening, drafts) if drafts else None


def _events(happening: TaskChange) -> list[tuple[str, dict[str, Value]] | None]:
    task, actor = happening.task, happening.actor.name
    # Names of fields come from the service as they are, so the text as a whole is made one that can be stored.
    written = sanitize_text(json.dumps(dict(happening.changes or {}), ensure_ascii=False, separators=(",", ":")))
    base: dict[str, Value] = {
        "taskId": task.task_id,
        "taskDBId": task.db_id,
        "taskType": task.type,
        "taskTitle": task.title,
    }
    state: dict[str, Value] = {**base, "taskStatus": task.status}
    if happening.created:
        return [("task.created", {**state, "createdBy": actor})]
    if happening.deleted:
        return [("task.deleted", {**base, "deletedBy": actor})]
    changes, comment = happening.changes, happening.comment
    return [
        None if changes is None else ("task.updated", {**state, "updatedBy": actor, "changes": written}),
        ("task.status_changed", {**state, "updatedBy": actor}) if happening.status_changed else None,
        (
            "task.reassigned",
            {**base, "assigneeId": task.assignee.id, "assigneeName": task.assignee.name, "updatedBy": actor},
        )
        if happening.reassigned
        else None,
        None
        if comment is None
        else (
            "task.commented",
            {
                **base,
                "commentId": comment.id,
                "commentContent": comment.content,
                "commenterId": comment.author.id,
                "commenterName": comment.author.name,
            },
        ),
    ]


def delivery_id(headers: Mapping[str, str], names: tuple[str, ...], body: bytes) -> str:
    """Return the service's id of a delivery; a digest of the body when it gives none, which a repetition shares."""
    for name in names:
        if given := headers.get(name, "").strip():
            return "".join(c for c in given if c.isprintable())
    return "sha256-" + hashlib.sha256(body).hexdigest()


def signed(header: str, body: bytes, secret: str) -> bool:
    """Return whether `sha256=<hex>` is the HMAC of a body (as in WebSub's `X-Hub-Signature`)."""
    method, _, given = header.partition("=")
    if method.strip().lower() != "sha256" or not secret:
        return False
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), given.strip().lower().encode())


def same_secret(given: str, secret: str) -> bool:
    """Return whether two secrets are equal, in constant time; an empty one never is."""
    return bool(secret) and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode("utf-8", "replace"))


def at_home(task_url: str, home: str | None, kind: str) -> str:
    """Return the address of the service that a task is at, without a slash at its end.

    Raises:
        PermanentError: It is not the configured one: a credential must not go elsewhere.
    """
    try:
        task, base = urlsplit(task_url), urlsplit(home or "")
        shown = f"{task.scheme}://{task.hostname or ''}"
    except ValueError:
        raise PermanentError("the task's or the service's address cannot be read", where=f"source {kind}") from None
    if not home or (task.scheme, task.netloc) != (base.scheme, base.netloc):
        raise PermanentError(
            f"{shown} is not where the credential belongs",
            where=f"source {kind}",
            hint="set the address of the service in the source's settings",
        )
    return home.rstrip("/")


def json_body(**content: str) -> bytes:
    """Return a JSON object as a body."""
    return json.dumps(content, ensure_ascii=False).encode()
