"""GitHub: issues, their comments, and pull requests.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads (`issues`, `issue_comment`, `pull_request`) and
https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries. Found by `hookyard.events.integrations`.

Who wrote what an event carries: the author of the comment, or of the issue; GitHub calls owners, members of the
organization and collaborators by those names, and everybody else is an outsider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

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
    signed,
    translated,
)
from hookyard.events.integrations.payload import dig, items, page, read, text, when, without
from hookyard.events.model import AuthorTrust

Payload = dict[str, object]
Change = Callable[[Payload, Payload, MirroredTask], Mapping[str, object]]

_MEMBERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
_ASSIGNING = frozenset({"assigned", "unassigned"})
_STATUS = frozenset({"closed", "reopened", "converted_to_draft", "ready_for_review"})
_KINDS = {"issues": "issue", "issue_comment": "issue", "pull_request": "pull_request"}


class GitHub:
    """The GitHub integration."""

    kind = "github"
    title = "GitHub"
    home: str | None = "https://github.com"

    def verify(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, secret: str, now: float
    ) -> bool:
        """Check `X-Hub-Signature-256` over the body as received. The older SHA-1 header alone is not enough."""
        return signed(headers.get("x-hub-signature-256", ""), body, secret)

    def translate(
        self, headers: Mapping[str, str], body: bytes, own: frozenset[str] = frozenset()
    ) -> Translation | None:
        """Return what a delivery means here; None for events and actions that mean nothing for a task."""
        event = headers.get("x-github-event", "")
        if event not in _KINDS:
            return None
        payload = read(_content(headers, body))
        happening = ignore_own_changes(_task_change(event, payload), own)
        if happening is None:
            return None
        return translated(self.kind, delivery_id(headers, ("x-github-delivery",), body), happening)

    def comment(
        self, task_id: str, task_url: str, content: str, credential: str, home: str | None = None
    ) -> CommentRequest:
        """Return `POST /repos/{owner}/{repo}/issues/{number}/comments`; pull requests are issues there too."""
        base = at_home(task_url, home or self.home, self.kind)
        repository, _, number = task_id.rpartition("#")
        if not number.isdigit() or repository.count("/") != 1 or urlsplit(f"//x/{repository}").path != f"/{repository}":
            raise PermanentError(f"{task_id!r} is no issue of GitHub", where="source github")
        api = "https://api.github.com" if base == self.home else f"{base}/api/v3"
        headers = {
            "authorization": f"Bearer {credential}",
            "accept": "application/vnd.github+json",
            "x-github-api-version": "2022-11-28",
            "content-type": "application/json",
        }
        return CommentRequest(f"{api}/repos/{repository}/issues/{number}/comments", headers, json_body(body=content))


SOURCE = GitHub()


def _content(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the JSON of a delivery; GitHub can also send it as a form with one field."""
    if not headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        return body
    try:
        return parse_qs(body.decode("ascii", "replace"), max_num_fields=10).get("payload", [""])[0].encode()
    except ValueError:  # more fields than it ever sends
        raise without("github", "is a form of many fields, where one named payload belongs") from None


def _task_change(event: str, payload: Payload) -> TaskChange | None:
    action = text(payload, "action")
    subject = dig(payload, _KINDS[event])
    if not isinstance(subject, dict):
        raise without("github", f"has no {_KINDS[event]}")
    task = _task(event, payload, subject)
    actor = _person(dig(payload, "sender"))
    trust = _trust(subject)
    at = when(subject, "updated_at")
    if event == "issue_comment":
        if action != "created":
            return None
        comment = dig(payload, "comment")
        if not isinstance(comment, dict):
            raise without("github", "has no comment")
        written = Comment(text(comment, "id"), text(comment, "body"), _person(dig(comment, "user")))
        return TaskChange(task, actor, _trust(comment), when(comment, "created_at"), comment=written)
    if action == "opened":
        return TaskChange(task, actor, trust, when(subject, "created_at"), created=True)
    if action in ("deleted", "transferred"):  # a transferred issue is opened again at its new place
        return TaskChange(task, actor, trust, at, deleted=True)
    change = _CHANGES.get(action)
    if change is None:
        return None
    return TaskChange(
        task,
        actor,
        trust,
        at,
        changes=change(payload, subject, task),
        status_changed=action in _STATUS,
        reassigned=action in _ASSIGNING,
    )


def _task(event: str, payload: Payload, subject: Payload) -> MirroredTask:
    url = page(subject, "html_url")
    number = text(subject, "number")
    repository = text(payload, "repository", "full_name") or "/".join(urlsplit(url).path.split("/")[1:3])
    if not number or not repository or not url:
        raise without("github", "does not say which issue it is about")
    pull_request = event == "pull_request" or "pull_request" in subject
    return MirroredTask(
        task_id=f"{repository}#{number}",
        url=url,
        title=text(subject, "title"),
        type="pull_request" if pull_request else text(subject, "type", "name").lower() or "issue",
        status=_status(subject),
        assignee=_assignee(payload, subject),
        labels=_labels(subject),
        description=text(subject, "body") if "body" in subject else None,
        created_by=text(subject, "user", "login") or None,
        created_at=when(subject, "created_at"),
    )


def _assignee(payload: Payload, subject: Payload) -> Person:
    """Return the assignee: on `assigned` the new one, on `unassigned` the first of the others, if any."""
    action, named = text(payload, "action"), _person(dig(payload, "assignee"))
    if action == "assigned" and named.id:
        return named
    people = [_person(user) for user in (dig(subject, "assignee"), *items(subject, "assignees"))]
    gone = named.id if action == "unassigned" else ""
    return next((person for person in people if person.id and person.id != gone), NOBODY)


def _status(subject: Payload) -> str:
    """Return `open` or `closed`, and for a pull request also `draft` and `merged`."""
    if dig(subject, "merged") is True or dig(subject, "merged_at") or dig(subject, "pull_request", "merged_at"):
        return "merged"
    state = text(subject, "state") or "open"
    return "draft" if state == "open" and dig(subject, "draft") is True else state


def _labels(subject: object) -> tuple[str, ...]:
    return tuple(name for name in (text(label, "name") for label in items(subject, "labels")) if name)


def _person(user: object) -> Person:
    login = text(user, "login")
    return Person(text(user, "id"), login, login)


def _trust(written: object) -> AuthorTrust:
    association = text(written, "author_association")
    if not association:
        return AuthorTrust.UNKNOWN
    return AuthorTrust.MEMBER if association in _MEMBERS else AuthorTrust.OUTSIDER


def _edited(payload: Payload, subject: Payload, task: MirroredTask) -> Mapping[str, object]:
    edited = dig(payload, "changes")
    names = {"title": "title", "body": "description"}
    changes: dict[str, object] = {
        to: text(subject, name) for name, to in names.items() if isinstance(edited, dict) and name in edited
    }
    if dig(edited, "base"):
        changes["base"] = text(subject, "base", "ref")
    return changes


def _status_now(payload: Payload, subject: Payload, task: MirroredTask) -> Mapping[str, object]:
    changes: dict[str, object] = {"status": task.status}
    if reason := text(subject, "state_reason"):
        changes["reason"] = reason
    return changes


def _labels_now(added: str) -> Change:
    def change(payload: Payload, subject: Payload, task: MirroredTask) -> Mapping[str, object]:
        name = text(payload, "label", "name")  # none when the label itself was deleted
        return {"labels": list(task.labels), added: [name] if name else []}

    return change


def _assignee_now(payload: Payload, subject: Payload, task: MirroredTask) -> Mapping[str, object]:
    return {"assigneeId": task.assignee.id, "assigneeName": task.assignee.name}


def _milestone_now(payload: Payload, subject: Payload, task: MirroredTask) -> Mapping[str, object]:
    return {"milestone": text(subject, "milestone", "title")}


def _reviewers_now(payload: Payload, subject: Payload, task: MirroredTask) -> Mapping[str, object]:
    people = [text(person, "login") for person in items(subject, "requested_reviewers")]
    teams = [text(team, "slug") for team in items(subject, "requested_teams")]
    return {"reviewers": people + teams}


_CHANGES: dict[str, Change] = {
    "edited": _edited,
    "closed": _status_now,
    "reopened": _status_now,
    "converted_to_draft": _status_now,
    "ready_for_review": _status_now,
    "labeled": _labels_now("labelsAdded"),
    "unlabeled": _labels_now("labelsRemoved"),
    "assigned": _assignee_now,
    "unassigned": _assignee_now,
    "milestoned": _milestone_now,
    "demilestoned": lambda payload, subject, task: {"milestone": ""},
    "typed": lambda payload, subject, task: {"type": task.type},
    "untyped": lambda payload, subject, task: {"type": task.type},
    "locked": lambda payload, subject, task: {"locked": True},
    "unlocked": lambda payload, subject, task: {"locked": False},
    "review_requested": _reviewers_now,
    "review_request_removed": _reviewers_now,
    "synchronize": lambda payload, subject, task: {"head": text(subject, "head", "sha") or text(payload, "after")},
    "enqueued": lambda payload, subject, task: {"mergeQueue": True},
    "dequeued": lambda payload, subject, task: {"mergeQueue": False},
    "auto_merge_enabled": lambda payload, subject, task: {"autoMerge": True},
    "auto_merge_disabled": lambda payload, subject, task: {"autoMerge": False},
}
