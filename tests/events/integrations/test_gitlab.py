"""GitLab's door, on samples of GitLab's deliveries."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from hookyard.core.errors import InvalidError, PermanentError
from hookyard.events.integrations import integrations
from hookyard.events.model import AuthorTrust
from tests.events.integrations.deliveries import body, names, sound, survives

GITLAB = integrations()["gitlab"]
HEADERS = {"idempotency-key": "d-1"}
NOW = 1_768_467_600.0


@pytest.fixture
def samples(shared: Path) -> dict[str, Any]:
    directory = shared / "samples" / "sources" / "gitlab"
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*.json")}


def test_an_opened_issue_is_a_created_task(samples: dict[str, Any]) -> None:
    translation = GITLAB.translate(HEADERS, body(samples["issue"]))
    assert translation is not None
    sound(translation)
    [draft] = translation.drafts
    assert draft.name == "task.created"
    assert (draft.source, draft.source_id, draft.operation_id) == ("hookyard:gitlab", "d-1", "d-1")
    assert draft.author_trust is AuthorTrust.UNKNOWN
    assert (draft.variables["taskId"], draft.variables["createdBy"]) == ("gitlabhq/gitlab-test#23", "Administrator")
    assert translation.happening.task.labels == ("API",)


@pytest.mark.parametrize(
    ("action", "state", "events", "changes"),
    [
        ("close", "closed", ["task.updated", "task.status_changed"], {"status": "closed"}),
        ("reopen", "opened", ["task.updated", "task.status_changed"], {"status": "opened"}),
        ("merge", "merged", ["task.updated", "task.status_changed"], {"status": "merged"}),
        ("approved", "opened", ["task.updated"], {"approved": True}),
        ("unapproved", "opened", ["task.updated"], {"approved": False}),
        ("approval", "opened", ["task.updated"], {"approval": True}),
        ("unapproval", "opened", ["task.updated"], {"approval": False}),
        ("invented_tomorrow", "opened", [], None),
    ],
)
def test_what_an_action_means(
    samples: dict[str, Any], action: str, state: str, events: list[str], changes: Any
) -> None:
    samples["merge_request"]["object_attributes"].update(action=action, state=state)
    translation = GITLAB.translate(HEADERS, body(samples["merge_request"]))
    assert names(translation) == events
    if translation is not None:
        sound(translation)
        assert translation.happening.changes == changes
        assert translation.happening.task.task_id == "gitlabhq/gitlab-test!1"
        assert translation.happening.task.type == "merge_request"


def test_an_update_names_what_changed(samples: dict[str, Any]) -> None:
    issue = samples["issue"]
    issue["object_attributes"]["action"] = "update"
    translation = GITLAB.translate(HEADERS, body(issue))
    assert translation is not None
    sound(translation)
    assert translation.happening.changes == {
        "status": "opened",
        "labels": ["API"],
        "labelsAdded": ["Platform"],
        "labelsRemoved": ["API"],
        "description": "New description",
        "title": "New title",
    }
    issue["changes"] = {"assignees": {"previous": [], "current": [{"id": 7, "name": "七"}]}, "updated_at": {}}
    issue["assignees"] = [{"id": 7, "name": "七", "username": "qi"}]
    translation = GITLAB.translate(HEADERS, body(issue))
    assert names(translation) == ["task.updated", "task.reassigned"]
    assert translation is not None
    assert translation.drafts[1].variables["assigneeName"] == "七"
    issue["changes"] = {"updated_at": {"previous": "a", "current": "b"}}
    assert GITLAB.translate(HEADERS, body(issue)) is None
    issue["changes"] = {
        "confidential": {"previous": False, "current": True},
        "weight": {"previous": 1, "current": None},
    }
    translation = GITLAB.translate(HEADERS, body(issue))
    assert translation is not None
    assert translation.happening.changes == {"confidential": True, "weight": None}
    people = [{"id": 6, "name": "One", "username": "one"}, {"id": 7, "name": "Two", "username": "two"}, None]
    issue["changes"] = {"reviewers": {"previous": [], "current": people}}
    translation = GITLAB.translate(HEADERS, body(issue))
    assert translation is not None
    assert translation.happening.changes == {"reviewers": ["one", "two"]}


def test_a_draft_becomes_ready(samples: dict[str, Any]) -> None:
    request = samples["merge_request"]
    request["object_attributes"].update(action="update", draft=True, work_in_progress=True)
    request["changes"] = {"draft": {"previous": False, "current": True}}
    translation = GITLAB.translate(HEADERS, body(request))
    assert translation is not None
    assert names(translation) == ["task.updated", "task.status_changed"]
    assert translation.happening.task.status == "draft"
    request["object_attributes"].update(draft=False, work_in_progress=False, oldrev="a", last_commit={"id": "b"})
    request["changes"] = {}
    translation = GITLAB.translate(HEADERS, body(request))
    assert translation is not None
    assert translation.happening.changes == {"head": "b"}


def test_a_note_is_a_comment_unless_the_system_wrote_it_or_it_was_edited(samples: dict[str, Any]) -> None:
    note = samples["note_issue"]
    translation = GITLAB.translate(HEADERS, body(note))
    assert translation is not None
    sound(translation)
    assert translation.drafts[0].variables["commentContent"] == "Hello world"
    assert translation.happening.task.url == "http://example.com/gitlab-org/gitlab-test/issues/17"
    assert translation.happening.task.status == "closed"
    for change in ({"system": True}, {"action": "update"}, {"noteable_type": "Snippet"}, {"noteable_type": "Commit"}):
        other = {**note, "object_attributes": {**note["object_attributes"], **change}}
        assert GITLAB.translate(HEADERS, body(other)) is None
    del note["object_attributes"]["action"]  # GitLab before 16.11
    assert GITLAB.translate(HEADERS, body(note)) is not None
    note["user"].pop("id", None)  # and long before
    note["object_attributes"]["author_id"] = 41
    translation = GITLAB.translate(HEADERS, body(note))
    assert translation is not None
    assert translation.drafts[0].variables["commenterId"] == "41"
    assert GITLAB.translate(HEADERS, body(note), frozenset({"41"})) is None


def test_other_events_and_our_own_doing_mean_nothing(samples: dict[str, Any]) -> None:
    assert GITLAB.translate(HEADERS, body(samples["member"])) is None
    assert GITLAB.translate(HEADERS, body({"object_kind": "push"})) is None
    assert GITLAB.translate(HEADERS, body(samples["issue"]), frozenset({"root"})) is None
    assert GITLAB.translate(HEADERS, body(samples["issue"]), frozenset({"1"})) is None


def test_a_delivery_without_an_id_is_known_by_its_body(samples: dict[str, Any]) -> None:
    ids = set()
    for _ in range(2):
        translation = GITLAB.translate({"x-gitlab-event-uuid": "shared"}, body(samples["issue"]))
        assert translation is not None
        ids.add(translation.delivery_id)
    assert len(ids) == 1


def test_the_secret_token_must_be_the_agreed_one() -> None:
    def verified(token: str, secret: str = "geheim") -> bool:
        return GITLAB.verify({"x-gitlab-token": token}, {}, b"{}", secret, NOW)

    assert verified("geheim")
    assert not any(verified(token) for token in ("", "Geheim", "geheim ", "é"))
    assert not verified("", "")


def test_a_signing_token_must_have_signed() -> None:
    key = bytes(range(32))
    secret = "whsec_" + base64.b64encode(key).decode()

    def headers(at: float, raw: bytes = b"{}", with_key: bytes = key) -> dict[str, str]:
        signed = f"d-1.{int(at)}.".encode() + raw
        signature = base64.b64encode(hmac.new(with_key, signed, hashlib.sha256).digest()).decode()
        return {"webhook-id": "d-1", "webhook-timestamp": str(int(at)), "webhook-signature": f"v1,AAAA v1,{signature}"}

    assert GITLAB.verify(headers(NOW), {}, b"{}", secret, NOW)
    assert GITLAB.verify(headers(NOW - 299), {}, b"{}", secret, NOW)
    assert not GITLAB.verify(headers(NOW - 301), {}, b"{}", secret, NOW)
    assert not GITLAB.verify(headers(NOW + 301), {}, b"{}", secret, NOW)
    assert not GITLAB.verify(headers(NOW), {}, b"{} ", secret, NOW)
    assert not GITLAB.verify(headers(NOW, with_key=b"x"), {}, b"{}", secret, NOW)
    assert not GITLAB.verify({"x-gitlab-token": secret}, {}, b"{}", secret, NOW)
    assert not GITLAB.verify({**headers(NOW), "webhook-timestamp": "soon"}, {}, b"{}", secret, NOW)
    assert not GITLAB.verify(headers(NOW, with_key=b""), {}, b"{}", "whsec_", NOW)
    assert not GITLAB.verify(headers(NOW), {}, b"{}", "whsec_!", NOW)


def test_a_comment_goes_to_the_notes_of_the_issue_or_the_merge_request() -> None:
    issue = GITLAB.comment("a/b/c#7", "https://gitlab.com/a/b/c/-/issues/7", "完成", "glpat")
    assert issue.url == "https://gitlab.com/api/v4/projects/a%2Fb%2Fc/issues/7/notes"
    assert (issue.headers["private-token"], json.loads(issue.body)) == ("glpat", {"body": "完成"})
    merge = GITLAB.comment("a/b!7", "https://git.example/a/b/-/merge_requests/7", "x", "t", "https://git.example")
    assert merge.url == "https://git.example/api/v4/projects/a%2Fb/merge_requests/7/notes"
    for task_id, url in (
        ("a/b#7", "https://evil.example/a/b"),
        ("a/b#7/../x", "https://gitlab.com/a/b"),
        ("#7", "https://gitlab.com"),
        ("groups/acme#7", "https://gitlab.com/groups/acme/-/epics/7"),
    ):
        with pytest.raises(PermanentError):
            GITLAB.comment(task_id, url, "x", "t")


@pytest.mark.parametrize("sample", ["issue", "merge_request", "note_issue"])
def test_odd_deliveries_are_survived(samples: dict[str, Any], sample: str) -> None:
    survives(GITLAB, HEADERS, samples[sample])
    samples[sample]["object_attributes"]["action"] = "update"
    survives(GITLAB, HEADERS, samples[sample])
    with pytest.raises(InvalidError):
        GITLAB.translate(HEADERS, b"{")


@pytest.mark.parametrize("sample", ["issue", "merge_request", "note_issue"])
def test_a_description_is_read(samples: dict[str, Any], sample: str) -> None:
    translation = GITLAB.translate({}, body(samples[sample]))
    assert translation is not None
    said = samples[sample].get("issue", samples[sample]["object_attributes"])["description"]
    assert translation.happening.task.description == said


def updated(samples: dict[str, Any], changes: object) -> Any:
    """The changes of an update of the merge request."""
    request = samples["merge_request"]
    request["object_attributes"]["action"] = "update"
    request["changes"] = changes
    translation = GITLAB.translate(HEADERS, body(request))
    return None if translation is None else json.loads(str(translation.drafts[0].variables["changes"]))


def test_numbers_of_a_change_stay_numbers(samples: dict[str, Any]) -> None:
    changes = {"weight": {"previous": None, "current": 3}, "time_estimate": {"previous": 0, "current": 3600.5}}
    assert updated(samples, changes) == {"weight": 3, "time_estimate": 3600.5}


def test_reviewers_that_are_asked_again_come_as_a_list_of_before_and_after(samples: dict[str, Any]) -> None:
    one = {"id": 6, "name": "One", "username": "one", "state": "approved", "re_requested": False}
    asked = {**one, "state": "unreviewed", "re_requested": True}
    assert updated(samples, {"reviewers": [[one], [asked]]}) == {"reviewers": ["one"]}
    assert updated(samples, {"title": ["old", "new"]}) == {"title": "new"}
    assert updated(samples, {"title": ["one", "two", "three"]}) == {"title": None}


def test_a_change_whose_name_or_value_cannot_be_stored_is_mended(samples: dict[str, Any]) -> None:
    assert updated(samples, {"half \ud83d": {"current": 1}}) == {"half \ufffd": 1}
    raw = body(samples["merge_request"]).replace(b'{"current": 1}', b'{"current": 1e999}')
    translation = GITLAB.translate(HEADERS, raw)
    assert translation is not None
    assert translation.happening.changes == {"half \ud83d": None}
    sound(translation)
    for constant in (b"NaN", b"Infinity", b"-Infinity"):
        with pytest.raises(InvalidError, match="no JSON"):
            GITLAB.translate(HEADERS, raw.replace(b"1e999", constant))


def test_a_work_item_that_does_not_say_its_type_is_no_issue(samples: dict[str, Any]) -> None:
    item = samples["issue"]
    assert "type" not in item["object_attributes"]
    item.update(object_kind="work_item", event_type="work_item")
    translation = GITLAB.translate(HEADERS, body(item))
    assert translation is not None
    assert translation.happening.task.type == "work_item"


@pytest.mark.parametrize("written", ["2026-01-15 10:00:00 +0100", "2026-01-15 09:00:00 UTC", "2026-01-15T09:00:00Z"])
def test_a_time_is_read_as_each_version_writes_it(samples: dict[str, Any], written: str) -> None:
    samples["issue"]["object_attributes"]["created_at"] = written
    translation = GITLAB.translate(HEADERS, body(samples["issue"]))
    assert translation is not None
    assert translation.happening.at == translation.happening.task.created_at == NOW


def test_an_author_who_is_only_an_id_is_not_taken_for_who_did_this(samples: dict[str, Any]) -> None:
    def author(author_id: int) -> str | None:
        samples["issue"]["object_attributes"]["author_id"] = author_id
        translation = GITLAB.translate(HEADERS, body(samples["issue"]))
        assert translation is not None
        return translation.happening.task.created_by

    assert (author(1), author(51)) == ("Administrator", "")


def test_an_epic_belongs_to_its_group(samples: dict[str, Any]) -> None:
    epic = samples["issue"]
    epic["object_attributes"].update(type="Epic", url="http://example.com/groups/acme/sub/-/epics/23")
    epic.update(object_kind="work_item", project=None)
    translation = GITLAB.translate(HEADERS, body(epic))
    assert translation is not None
    task = translation.happening.task
    assert (task.task_id, task.type) == ("groups/acme/sub#23", "epic")
    with pytest.raises(PermanentError, match="is an epic"):
        GITLAB.comment(task.task_id, task.url, "x", "glpat", "http://example.com")


@pytest.mark.parametrize("address", ["javascript:alert(1)//-/issues/1", "http://[x/g/p/-/issues/1", "g/p/-/issues/1"])
def test_only_an_http_address_becomes_a_page(samples: dict[str, Any], address: str) -> None:
    samples["issue"]["object_attributes"]["url"] = address
    del samples["issue"]["project"]
    with pytest.raises(InvalidError, match="which issue"):
        GITLAB.translate(HEADERS, body(samples["issue"]))
