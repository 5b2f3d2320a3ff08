"""Jira: issues and their comments, from Jira Cloud, Data Center and old servers.

Source: https://developer.atlassian.com/cloud/jira/platform/webhooks/ and
https://developer.atlassian.com/server/jira/platform/webhooks/. A delivery is verified by its `X-Hub-Signature` (with a
secret in Jira Cloud); servers that cannot sign send the secret as the parameter `secret` of the URL. Found by
`hookyard.events.integrations`.

A comment can arrive twice: as `comment_created`, and with the `jira:issue_updated` that it causes. Both have the
comment's id as their event's id, so that the second is a duplicate. Old servers send a `comment_created` without its
issue, which means nothing here; a comment made with a transition comes with the `jira:issue_updated` only.

An issue that is moved to another project changes its key, and so its page: the update names both keys. Jira does not
say who is a member; customers of a service desk are outsiders, and all others unknown.
"""

from __future__ import annotations

import base64
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
    signed,
    translated,
)
from hookyard.events.integrations.payload import LATEST, dig, items, page, read, text, when, without
from hookyard.events.model import AuthorTrust

Payload = dict[str, object]

MAX_DEPTH = 50
"""Nesting of a text in Atlassian's document format that is read."""

_FIELDS = {"summary": "title", "issuetype": "type"}
_NOISE = frozenset({"", "Comment"})
"""Fields of the changelog that are no change of the issue: servers write there that a comment was edited or deleted."""

_KEYS = {"title": "summary", "type": "issuetype", "status": "status", "assignee": "assignee", "labels": "labels"}
"""The field of an issue by attribute of its task; the deliveries of comments leave labels out."""


class Jira:
    """The Jira integration."""

    kind = "jira"
    title = "Jira"
    home: str | None = None

    def verify(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, secret: str, now: float
    ) -> bool:
        """Check the signature where there is one; else the secret must be in the URL."""
        if "x-hub-signature" in headers:
            return signed(headers["x-hub-signature"], body, secret)
        return same_secret(query.get("secret", ""), secret)

    def translate(
        self, headers: Mapping[str, str], body: bytes, own: frozenset[str] = frozenset()
    ) -> Translation | None:
        """Return what a delivery means here; None for other events and edited or deleted comments."""
        payload = read(body)
        happening = ignore_own_changes(_task_change(payload), own)
        if happening is None:
            return None
        ids = {}
        if happening.comment is not None:
            ids["task.commented"] = f"{happening.task.task_id}:comment-{happening.comment.id}"
        delivery = delivery_id(headers, ("x-atlassian-webhook-identifier",), body)
        return translated(self.kind, delivery, happening, ids)

    def comment(
        self, task_id: str, task_url: str, content: str, credential: str, home: str | None = None
    ) -> CommentRequest:
        """Return `POST /rest/api/2/issue/{key}/comment`; `email:token` signs in to the Cloud, a token to a server."""
        base = at_home(task_url, home, self.kind)
        if not task_id.replace("-", "").replace("_", "").isalnum():
            raise PermanentError(f"{task_id!r} is no issue of Jira", where="source jira")
        basic = ":" in credential
        shown = base64.b64encode(credential.encode()).decode() if basic else credential
        headers = {"authorization": f"{'Basic' if basic else 'Bearer'} {shown}", "content-type": "application/json"}
        return CommentRequest(f"{base}/rest/api/2/issue/{quote(task_id)}/comment", headers, json_body(body=content))


SOURCE = Jira()


def _task_change(payload: Payload) -> TaskChange | None:
    event = text(payload, "webhookEvent").removeprefix("jira:")
    if event not in ("issue_created", "issue_updated", "issue_deleted", "comment_created"):
        return None
    issue = dig(payload, "issue")
    if event == "comment_created" and not isinstance(issue, dict):
        return None  # an old server; its issue_updated says the same with the issue
    if not isinstance(issue, dict):
        raise without("jira", "has no issue")
    task = _task(issue, _former_key(payload))
    actor = dig(payload, "user") or dig(payload, "comment", "author")
    fields = dig(issue, "fields")
    trust = _trust(actor, dig(fields, "creator"), dig(fields, "reporter"))
    happening = TaskChange(task, _person(actor), trust, _at(payload))
    if event == "issue_created":
        return replace(happening, created=True)
    if event == "issue_deleted":
        return replace(happening, deleted=True)
    comment = _comment(dig(payload, "comment")) if _is_new_comment(event, payload) else None
    if event == "comment_created":
        return replace(happening, comment=comment, author_trust=_trust(actor, dig(payload, "comment", "author")))
    changes, status_changed, reassigned = _changes(payload, task)
    if not changes and comment is None:
        return None
    return replace(
        happening, changes=changes or None, comment=comment, status_changed=status_changed, reassigned=reassigned
    )


def _is_new_comment(event: str, payload: Payload) -> bool:
    if not isinstance(dig(payload, "comment"), dict):
        return False
    kind = text(payload, "issue_event_type_name")
    if event == "comment_created" or kind == "issue_commented":
        return True
    # A transition can bring a comment along, and old servers name no kind of event at all; an edited comment was
    # updated later than it was created.
    edited = kind in ("issue_comment_edited", "issue_comment_deleted")
    return not edited and text(payload, "comment", "created") == text(payload, "comment", "updated")


def _former_key(payload: Payload) -> str:
    """Return the key that the issue had before it was moved; `""` when it was not."""
    moves = [item for item in items(payload, "changelog", "items") if text(item, "field") == "Key"]
    return text(moves[0], "fromString") if moves else ""


def _task(issue: Payload, former_key: str) -> MirroredTask:
    key, address = text(issue, "key"), urlsplit(page(issue, "self"))
    if not key or not address.netloc:
        raise without("jira", "does not say which issue it is about")
    pages = f"{address.scheme}://{address.netloc}{address.path.partition('/rest/')[0]}/browse"
    return MirroredTask(
        task_id=key,
        url=f"{pages}/{key}",
        title=text(issue, "fields", "summary"),
        type=text(issue, "fields", "issuetype", "name").lower() or "issue",
        status=text(issue, "fields", "status", "name"),
        assignee=_person(dig(issue, "fields", "assignee")),
        labels=tuple(label for label in items(issue, "fields", "labels") if isinstance(label, str)),
        description=_description(dig(issue, "fields")),
        untold=frozenset(name for name, key in _KEYS.items() if not _has(dig(issue, "fields"), key)),
        former_url=f"{pages}/{former_key}" if former_key not in ("", key) else None,
        created_by=_person(dig(issue, "fields", "creator")).name or None,
        created_at=when(issue, "fields", "created"),
    )


def _has(fields: object, key: str) -> bool:
    return isinstance(fields, dict) and key in fields


def _description(fields: object) -> str | None:
    if not isinstance(fields, dict) or "description" not in fields:
        return None  # the deliveries of comments leave it out
    return _written(fields["description"])


def _changes(payload: Payload, task: MirroredTask) -> tuple[dict[str, object], bool, bool]:
    """Return the new values by field, whether the status is among them, and whether the assignee is."""
    changes: dict[str, object] = {}
    status_changed = reassigned = False
    for item in items(payload, "changelog", "items"):
        field = text(item, "field")
        now, before = text(item, "toString"), text(item, "fromString")
        if field == "status":
            changes["status"], status_changed = task.status or now, True
        elif field == "assignee":
            changes |= {"assigneeId": task.assignee.id, "assigneeName": task.assignee.name}
            reassigned = True
        elif field == "labels":
            changes["labels"] = list(task.labels)
            changes["labelsAdded"] = [label for label in now.split() if label not in before.split()]
            changes["labelsRemoved"] = [label for label in before.split() if label not in now.split()]
        elif field == "Key":
            changes |= {"taskId": now, "formerTaskId": before}
        elif field not in _NOISE:
            changes[_FIELDS.get(field, field)] = now
    return changes, status_changed, reassigned


def _comment(comment: object) -> Comment:
    return Comment(text(comment, "id"), _written(dig(comment, "body")), _person(dig(comment, "author")))


def _written(content: object) -> str:
    """Return a text as it is, or the text of a document."""
    return "\n".join(_document(content)) if isinstance(content, dict) else text(content)


def _document(node: object, depth: int = 0) -> list[str]:
    """Return the text of Atlassian's document format, a line for each block."""
    if depth > MAX_DEPTH:
        return []
    inner = [_document(child, depth + 1) for child in items(node, "content")]
    if text(node, "type") in ("paragraph", "heading", "codeBlock"):
        return ["".join(piece for pieces in inner for piece in pieces)]
    pieces = [piece for pieces in inner for piece in pieces]
    if text(node, "type") == "hardBreak":
        return ["\n"]
    return pieces or [text(node, "text") or text(node, "attrs", "text") or text(node, "attrs", "url")]


def _person(user: object) -> Person:
    """Return a person: the Cloud names people by accountId, servers by key and name."""
    person_id = text(user, "accountId") or text(user, "key") or text(user, "name")
    login = text(user, "name") or text(user, "emailAddress")
    return Person(person_id, text(user, "displayName") or login, login) if person_id else NOBODY


def _trust(*people: object) -> AuthorTrust:
    """Return the trust of what these people wrote together: that of the least trusted of them."""
    customer = any(text(person, "accountType") == "customer" for person in people)
    return AuthorTrust.OUTSIDER if customer else AuthorTrust.UNKNOWN


def _at(payload: Payload) -> float | None:
    """Return Jira's timestamp, which is in milliseconds, in seconds."""
    milliseconds = dig(payload, "timestamp")
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 <= milliseconds / 1000 < LATEST else None
