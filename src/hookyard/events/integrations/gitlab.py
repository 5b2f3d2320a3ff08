"""GitLab: issues and other work items, merge requests, and the comments on both.

Source: https://docs.gitlab.com/user/project/integrations/webhook_events/ and, for the two ways to verify a delivery,
https://docs.gitlab.com/user/project/integrations/webhooks/: the secret token as it stands in `X-Gitlab-Token`, or, with
a signing token (`whsec_…`), an HMAC in `webhook-signature` as in Standard Webhooks. Found by
`hookyard.events.integrations`.

GitLab does not say whether a person is a member, so the author of an event is unknown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, urlsplit

from hookyard.core.errors import PermanentError
from hookyard.events.integrations.base import (
    NOBODY,
    Comment,
    CommentRequest,
    MirroredTask,
    Person,
    TaskChange,
    Translation,
    at_home,
    delivery_id,
    ignore_own_changes,
    json_body,
    same_secret,
    translated,
)
from hookyard.events.integrations.payload import dig, items, page, plain, read, text, when, without

Payload = dict[str, object]

TOLERANCE_SECONDS = 300
"""How old or early a signed delivery may be (Standard Webhooks)."""

_OF_GROUPS = "groups/"
"""Begins the path of what belongs to a group and to no project: epics. No project's path begins so."""

_SIDES = ("previous", "current")
_PREVIOUS, _CURRENT = range(len(_SIDES))
_NOTED = {"Issue": "issue", "WorkItem": "issue", "MergeRequest": "merge_request"}
_STATUS_ACTIONS = frozenset({"close", "reopen", "merge"})
_FLAG_ACTIONS: dict[str, Mapping[str, object]] = {
    "approved": {"approved": True},  # by all who have to
    "unapproved": {"approved": False},
    "approval": {"approval": True},  # by one of them: who did it
    "unapproval": {"approval": False},
}
_NOISE = frozenset(
    {"id", "iid", "author_id", "created_at", "updated_at", "updated_by_id", "last_edited_at", "last_edited_by_id",
     "closed_at", "state_id", "relative_position", "assignees", "assignee_id", "labels", "reviewers", "draft",
     "work_in_progress",
     "total_time_spent", "time_change", "merge_status", "prepared_at", "lock_version", "cached_html"}
)  # fmt: skip


class GitLab:
    """The GitLab integration."""

    kind = "gitlab"
    title = "GitLab"
    home: str | None = "https://gitlab.com"

    def verify(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, secret: str, now: float
    ) -> bool:
        """Check that a signing token has signed, or that a secret token is the configured one."""
        if secret.startswith("whsec_"):
            return _signed(headers, body, secret, now)
        return same_secret(headers.get("x-gitlab-token", ""), secret)

    def translate(
        self, headers: Mapping[str, str], body: bytes, own: frozenset[str] = frozenset()
    ) -> Translation | None:
        """Return what a delivery means here; None for other events, edited comments and the system's own notes."""
        payload = read(body)
        happening = ignore_own_changes(_task_change(payload), own)
        if happening is None:
            return None
        # X-Gitlab-Event-UUID is no id of a delivery: webhooks that trigger one another share it.
        return translated(self.kind, delivery_id(headers, ("webhook-id", "idempotency-key"), body), happening)

    def comment(
        self, task_id: str, task_url: str, content: str, credential: str, home: str | None = None
    ) -> CommentRequest:
        """Return `POST /projects/:id/issues/:iid/notes`, or `merge_requests` for one (`group/project!7`)."""
        base = at_home(task_url, home or self.home, self.kind)
        merge_request = "!" in task_id
        project, _, number = task_id.rpartition("!" if merge_request else "#")
        if not number.isdigit() or not project:
            raise PermanentError(f"{task_id!r} is no issue of GitLab", where="source gitlab")
        if project.startswith(_OF_GROUPS):
            # The REST API names an epic by an id that no delivery has, GraphQL by one that has to be asked for first.
            raise PermanentError(f"{task_id!r} is an epic, which GitLab's API takes no comment for by its number")
        kind = "merge_requests" if merge_request else "issues"
        url = f"{base}/api/v4/projects/{quote(project, safe='')}/{kind}/{number}/notes"
        headers = {"private-token": credential, "content-type": "application/json"}
        return CommentRequest(url, headers, json_body(body=content))


SOURCE = GitLab()


def _signed(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        early = abs(now - int(headers.get("webhook-timestamp", ""))) > TOLERANCE_SECONDS
    except (ValueError, binascii.Error):
        return False
    if early or not key:
        return False
    signed = f"{headers.get('webhook-id', '')}.{headers['webhook-timestamp']}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(expected, signature) for signature in given)


def _task_change(payload: Payload) -> TaskChange | None:
    kind = text(payload, "object_kind")
    actor = _person(dig(payload, "user"))
    if kind == "note":
        return _noted(payload, actor)
    if kind not in ("issue", "work_item", "merge_request"):
        return None
    item = dig(payload, "object_attributes")
    if not isinstance(item, dict):
        raise without("gitlab", "has no object_attributes")
    task = _task(payload, item, kind, text(item, "url"))
    at = when(item, "updated_at")
    action = text(item, "action")
    if action == "open":
        return TaskChange(task, actor, at=when(item, "created_at"), created=True)
    if action in _STATUS_ACTIONS:
        return TaskChange(task, actor, at=at, changes={"status": task.status}, status_changed=True)
    if action in _FLAG_ACTIONS:
        return TaskChange(task, actor, at=at, changes=_FLAG_ACTIONS[action])
    if action != "update":
        return None
    return _updated(payload, item, task, actor, at)


def _updated(payload: Payload, item: Payload, task: MirroredTask, actor: Person, at: float | None) -> TaskChange | None:
    found = dig(payload, "changes")
    changed = found if isinstance(found, dict) else {}
    changes: dict[str, object] = {}
    status_changed = not {"state_id", "draft", "work_in_progress"}.isdisjoint(changed)
    reassigned = "assignees" in changed or "assignee_id" in changed
    if status_changed:
        changes["status"] = task.status
    if reassigned:
        changes |= {"assigneeId": task.assignee.id, "assigneeName": task.assignee.name}
    if "labels" in changed:
        before, after = _titles(_side(changed["labels"], _PREVIOUS)), _titles(_side(changed["labels"], _CURRENT))
        changes["labels"] = list(task.labels)
        changes["labelsAdded"] = [name for name in after if name not in before]
        changes["labelsRemoved"] = [name for name in before if name not in after]
    if "reviewers" in changed:
        people = [_person(user) for user in items(_side(changed["reviewers"], _CURRENT))]
        changes["reviewers"] = [person.login for person in people if person.login]
    if text(item, "oldrev"):
        changes["head"] = text(item, "last_commit", "id")
    for name, change in changed.items():
        if name not in _NOISE:
            changes[name] = plain(_side(change, _CURRENT))
    if not changes:
        return None
    return TaskChange(task, actor, at=at, changes=changes, status_changed=status_changed, reassigned=reassigned)


def _side(change: object, side: int) -> object:
    """Return the value before (0) or after (1) a change: of an object with both, or of a list of both, as reviewers can
    come."""
    if isinstance(change, list):
        return change[side] if len(change) == len(_SIDES) else None
    return dig(change, _SIDES[side])


def _noted(payload: Payload, actor: Person) -> TaskChange | None:
    note = dig(payload, "object_attributes")
    kind = _NOTED.get(text(note, "noteable_type"))
    if kind is None or dig(note, "system") is True or text(note, "action") not in ("create", ""):
        return None
    item = dig(payload, kind) or dig(payload, "work_item")
    if not isinstance(item, dict):
        raise without("gitlab", f"has no {kind}")
    task = _task(payload, item, kind, text(item, "url") or text(note, "url").partition("#")[0])
    if not actor.id:  # old versions name the author only here
        actor = replace(actor, id=text(note, "author_id"))
    comment = Comment(text(note, "id"), text(note, "note") or text(note, "description"), actor)
    return TaskChange(task, actor, at=when(note, "created_at"), comment=comment)


def _task(payload: Payload, item: Payload, kind: str, url: str) -> MirroredTask:
    number, url = text(item, "iid"), page(url)
    project = text(payload, "project", "path_with_namespace") or text(item, "target", "path_with_namespace")
    if not project:
        project = urlsplit(url).path.partition("/-/")[0].strip("/")
    if not number or not project or not url:
        raise without("gitlab", "does not say which issue it is about")
    merge_request = kind == "merge_request"
    labels = _titles(payload.get("labels")) or _titles(item.get("labels"))
    return MirroredTask(
        task_id=f"{project}{'!' if merge_request else '#'}{number}",
        url=url,
        title=text(item, "title"),
        type="merge_request" if merge_request else text(item, "type").lower().replace(" ", "_") or kind,
        status=_status(item),
        assignee=_assignee(payload, item),
        labels=labels,
        description=text(item, "description") if "description" in item else None,
        untold=_unreported(payload, item, merge_request),
        created_by=_author(payload, item),
        created_at=when(item, "created_at"),
    )


def _unreported(payload: Payload, item: Payload, merge_request: bool) -> frozenset[str]:
    """Return what a delivery leaves out: the issue of a note has no type, for example."""
    said = {
        "title": "title" in item,
        "type": merge_request or "type" in item,
        "status": "state" in item,
        "labels": "labels" in payload or "labels" in item,
        "assignee": not {"assignee", "assignee_id", "assignee_ids"}.isdisjoint(item) or "assignees" in payload,
    }
    return frozenset(name for name, is_said in said.items() if not is_said)


def _status(item: Payload) -> str:
    """Return `opened` or `closed`, and for a merge request also `draft`, `merged` and `locked`."""
    state = text(item, "state") or "opened"
    draft = dig(item, "draft") is True or dig(item, "work_in_progress") is True
    return "draft" if draft and state == "opened" else state


def _assignee(payload: Payload, item: Payload) -> Person:
    """Return the first assignee; only newer versions send the id with the names."""
    ids = [text({"id": number}, "id") for number in items(item, "assignee_ids")] or [text(item, "assignee_id")]
    for user in (*items(payload, "assignees"), dig(payload, "assignee"), dig(item, "assignee")):
        person = _person(user)
        if person.name:
            return person if person.id else Person(ids[0] or person.login, person.name, person.login)
    return Person(ids[0], "") if ids[0] else NOBODY


def _author(payload: Payload, item: Payload) -> str | None:
    """Name of who made it, who is known only by an id unless it is who did this."""
    author, actor = text(item, "author_id"), _person(dig(payload, "user"))
    return None if not author else actor.name if actor.id == author else ""


def _person(user: object) -> Person:
    login = text(user, "username")
    return Person(text(user, "id"), text(user, "name") or login, login)


def _titles(labels: object) -> tuple[str, ...]:
    named = (text(label, "title") for label in labels) if isinstance(labels, list) else ()
    return tuple(name for name in named if name)
