"""Jira's door, on samples of Cloud, Data Center and old servers."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hookyard.core.errors import InvalidError, PermanentError
from hookyard.events.integrations import integrations
from hookyard.events.model import AuthorTrust
from tests.events.integrations.deliveries import body, names, signature, sound, survives

JIRA = integrations()["jira"]
HEADERS = {"x-atlassian-webhook-identifier": "d-1"}

MEANING = {
    "issue-created": (["task.created"], None),
    "issue-created-no-description": (["task.created"], None),
    "issue-deleted": (["task.deleted"], None),
    "issue-updated-assigned": (
        ["task.updated", "task.reassigned"],
        {"assigneeId": "5c5f880629be9642ba529340", "assigneeName": "Test User"},
    ),
    "issue-updated-assigned-nobody": (["task.updated", "task.reassigned"], {"assigneeId": "", "assigneeName": ""}),
    "issue-updated-edited": (
        ["task.updated"],
        {"description": "Unit test description, not that long, a little longer now"},
    ),
    "issue-updated-labels": (
        ["task.updated"],
        {"labels": ["sad", "test-label"], "labelsAdded": ["sad"], "labelsRemoved": ["bad"]},
    ),
    "issue-updated-renamed": (["task.updated"], {"title": "Unit test summary 1"}),
    "issue-updated-resolved": (["task.updated", "task.status_changed"], {"resolution": "Done", "status": "Done"}),
    "issue-updated-started-working": (["task.updated", "task.status_changed"], {"status": "In Progress"}),
    "server-issue-updated-closed": (["task.updated", "task.status_changed"], {"status": "Closed"}),
    "cloud-comment-created": (["task.commented"], None),
    "cloud-comment-deleted": ([], None),
    "server-comment-created": ([], None),
    "server-issue-updated-commented-1": (["task.commented"], None),
    "server-old-issue-updated-no-event-type-commented": (["task.commented"], None),
}


@pytest.fixture
def samples(shared: Path) -> dict[str, Any]:
    directory = shared / "samples" / "sources" / "jira"
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*.json")}


def test_what_every_sample_means(samples: dict[str, Any]) -> None:
    assert samples.keys() == MEANING.keys()
    for name, (events, changes) in MEANING.items():
        translation = JIRA.translate(HEADERS, body(samples[name]))
        assert names(translation) == events, name
        if translation is not None:
            sound(translation)
            assert translation.happening.changes == changes, name
            assert translation.delivery_id == "d-1"


def test_an_issue_is_known_by_its_page(samples: dict[str, Any]) -> None:
    translation = JIRA.translate(HEADERS, body(samples["issue-created"]))
    assert translation is not None
    task = translation.happening.task
    assert (task.task_id, task.type, task.status) == ("TES-41", "story", "To Do")
    assert task.url == "https://some-instance-test.atlassian.net/browse/TES-41"
    samples["issue-created"]["issue"]["self"] = "https://jira.example:8443/tracker/rest/api/2/issue/1"
    translation = JIRA.translate(HEADERS, body(samples["issue-created"]))
    assert translation is not None
    assert translation.happening.task.url == "https://jira.example:8443/tracker/browse/TES-41"


def test_a_comment_that_is_told_twice_is_one_event(samples: dict[str, Any]) -> None:
    updated = samples["server-issue-updated-commented-1"]
    created = {**samples["server-comment-created"], "issue": updated["issue"]}
    ids = set()
    for delivery, payload in (("d-1", updated), ("d-2", created)):
        translation = JIRA.translate({"x-atlassian-webhook-identifier": delivery}, body(payload))
        assert translation is not None
        ids.add(translation.drafts[0].source_id)
    assert ids == {"PRJX-14:comment-10082"}


def test_an_edited_comment_means_nothing(samples: dict[str, Any]) -> None:
    old = samples["server-old-issue-updated-no-event-type-commented"]
    old["comment"]["updated"] = "2030-01-01T00:00:00.000+0000"
    assert JIRA.translate(HEADERS, body(old)) is None
    edited = samples["server-issue-updated-commented-1"]
    edited["issue_event_type_name"] = "issue_comment_edited"
    assert JIRA.translate(HEADERS, body(edited)) is None


def test_a_comment_with_a_transition_is_both(samples: dict[str, Any]) -> None:
    payload = samples["server-issue-updated-commented-1"]
    payload["changelog"] = samples["server-issue-updated-closed"]["changelog"]
    assert names(JIRA.translate(HEADERS, body(payload))) == ["task.updated", "task.status_changed", "task.commented"]


@pytest.mark.parametrize("kind", ["issue_generic", "issue_closed", "issue_assigned", "issue_updated"])
def test_a_comment_that_a_transition_brings_along_is_one(samples: dict[str, Any], kind: str) -> None:
    payload = samples["server-issue-updated-commented-1"]
    payload["changelog"] = samples["server-issue-updated-closed"]["changelog"]
    payload["issue_event_type_name"] = kind
    assert names(JIRA.translate(HEADERS, body(payload))) == ["task.updated", "task.status_changed", "task.commented"]
    payload["comment"]["updated"] = "2030-01-01T00:00:00.000+0000"
    assert names(JIRA.translate(HEADERS, body(payload))) == ["task.updated", "task.status_changed"]


def test_a_note_in_the_changelog_that_a_comment_was_edited_is_no_change(samples: dict[str, Any]) -> None:
    payload = samples["server-issue-updated-closed"]
    payload["issue_event_type_name"] = "issue_comment_deleted"
    payload["changelog"]["items"] = [{"field": "Comment", "fromString": "old", "toString": None}]
    assert JIRA.translate(HEADERS, body(payload)) is None


def test_a_move_names_both_keys(samples: dict[str, Any]) -> None:
    payload = samples["issue-updated-renamed"]
    key = payload["issue"]["key"]
    payload["changelog"]["items"] = [{"field": "Key", "fromString": "OLD-1", "toString": key}]
    translation = JIRA.translate(HEADERS, body(payload))
    assert translation is not None
    sound(translation)
    assert translation.happening.changes == {"taskId": key, "formerTaskId": "OLD-1"}
    task = translation.happening.task
    assert task.former_url == task.url.replace(key, "OLD-1")
    payload["changelog"]["items"][0]["fromString"] = key
    translation = JIRA.translate(HEADERS, body(payload))
    assert translation is not None
    assert translation.happening.task.former_url is None


def test_a_comment_of_ours_is_none_whoever_brings_it_along(samples: dict[str, Any]) -> None:
    payload = samples["server-issue-updated-commented-1"]
    payload["comment"]["author"] = {"name": "bot", "key": "JIRAUSER7", "displayName": "The Bot"}
    own = frozenset({"bot"})
    assert JIRA.translate(HEADERS, body(payload), own) is None
    payload["changelog"] = samples["server-issue-updated-closed"]["changelog"]
    assert names(JIRA.translate(HEADERS, body(payload), own)) == ["task.updated", "task.status_changed"]
    assert names(JIRA.translate(HEADERS, body(payload))) == ["task.updated", "task.status_changed", "task.commented"]


def test_a_comment_as_a_document_is_read(samples: dict[str, Any]) -> None:
    comment = samples["cloud-comment-created"]
    comment["comment"]["body"] = {
        "type": "doc",
        "version": 1,
        "content": [
            {
                "type": "paragraph",
                "content": [
                    {"type": "mention", "attrs": {"text": "@lev"}},
                    {"type": "text", "text": " 看看"},
                    {"type": "hardBreak"},
                    {"type": "text", "text": "this "},
                    {"type": "inlineCard", "attrs": {"url": "https://example.com/7"}},
                ],
            },
            {
                "type": "bulletList",
                "content": [{"type": "listItem", "content": [{"type": "paragraph", "content": []}]}],
            },
            {"type": "codeBlock", "content": [{"type": "text", "text": "x = 1"}]},
        ],
    }
    translation = JIRA.translate(HEADERS, body(comment))
    assert translation is not None
    assert translation.drafts[0].variables["commentContent"] == "@lev 看看\nthis https://example.com/7\n\nx = 1"


def test_customers_are_outsiders(samples: dict[str, Any]) -> None:
    comment = samples["cloud-comment-created"]
    translation = JIRA.translate(HEADERS, body(comment))
    assert translation is not None
    assert translation.drafts[0].author_trust is AuthorTrust.UNKNOWN
    comment["comment"]["author"]["accountType"] = "customer"
    for who in ({}, {"user": {"accountId": "mail-handler", "accountType": "app"}}):
        translation = JIRA.translate(HEADERS, body({**comment, **who}))
        assert translation is not None
        assert translation.drafts[0].author_trust is AuthorTrust.OUTSIDER
    created = samples["issue-created"]
    created["issue"]["fields"]["reporter"] = {"accountId": "qm:7", "accountType": "customer"}
    translation = JIRA.translate(HEADERS, body(created))
    assert translation is not None
    assert translation.drafts[0].author_trust is AuthorTrust.OUTSIDER


def test_our_own_doing_and_other_events_mean_nothing(samples: dict[str, Any]) -> None:
    created = body(samples["issue-created"])
    assert JIRA.translate(HEADERS, created, frozenset({"5c5f880629be9642ba529340"})) is None
    assert JIRA.translate(HEADERS, created, frozenset({"admin"})) is None
    for event in ("sprint_started", "jira:version_released", "comment_updated", "worklog_created", ""):
        assert JIRA.translate(HEADERS, body({**samples["issue-created"], "webhookEvent": event})) is None


def test_a_signature_must_be_right_and_without_one_the_secret_must_stand_in_the_url() -> None:
    raw, secret = b'{"a":1}', "geheim"
    assert JIRA.verify({"x-hub-signature": signature(raw, secret)}, {}, raw, secret, 0.0)
    assert JIRA.verify({}, {"secret": secret}, raw, secret, 0.0)
    assert not JIRA.verify({"x-hub-signature": signature(raw, "other")}, {"secret": secret}, raw, secret, 0.0)
    assert not JIRA.verify({"x-hub-signature": "sha1=00"}, {}, raw, secret, 0.0)
    assert not JIRA.verify({}, {}, raw, secret, 0.0)
    assert not JIRA.verify({}, {"secret": ""}, raw, "", 0.0)
    assert not JIRA.verify({"x-hub-signature": signature(raw, "")}, {}, raw, "", 0.0)


def test_a_comment_goes_to_the_configured_address_only() -> None:
    cloud = JIRA.comment(
        "TES-4", "https://x.atlassian.net/browse/TES-4", "完成", "a@b.c:tok", "https://x.atlassian.net"
    )
    assert cloud.url == "https://x.atlassian.net/rest/api/2/issue/TES-4/comment"
    assert cloud.headers["authorization"] == "Basic " + base64.b64encode(b"a@b.c:tok").decode()
    server = JIRA.comment("TES-4", "https://j.example/tracker/browse/TES-4", "x", "pat", "https://j.example/tracker/")
    assert server.url == "https://j.example/tracker/rest/api/2/issue/TES-4/comment"
    assert server.headers["authorization"] == "Bearer pat"
    for task_id, home in (("TES-4", None), ("TES-4", "https://other.example"), ("../x", "https://x.atlassian.net")):
        with pytest.raises(PermanentError):
            JIRA.comment(task_id, "https://x.atlassian.net/browse/TES-4", "x", "t", home)
    with pytest.raises(PermanentError, match="cannot be read"):
        JIRA.comment("TES-4", "https://x.atlassian.net/browse/TES-4", "x", "t", "https://[x")


@pytest.mark.parametrize("address", ["javascript://x/rest/api/2/issue/1", "http://[x/rest/", "//x/rest/", "https:///x"])
def test_only_an_http_address_becomes_a_page(samples: dict[str, Any], address: str) -> None:
    samples["issue-created"]["issue"]["self"] = address
    with pytest.raises(InvalidError, match="which issue"):
        JIRA.translate(HEADERS, body(samples["issue-created"]))


@pytest.mark.parametrize(
    "sample", ["issue-updated-resolved", "cloud-comment-created", "server-issue-updated-commented-1"]
)
def test_odd_deliveries_are_survived(samples: dict[str, Any], sample: str) -> None:
    survives(JIRA, HEADERS, samples[sample])
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"type": "x", "content": [deep]}
    samples["cloud-comment-created"]["comment"]["body"] = deep
    assert JIRA.translate(HEADERS, body(samples["cloud-comment-created"])) is not None
    for raw in (b"", b"[]"):
        with pytest.raises(InvalidError):
            JIRA.translate(HEADERS, raw)


def test_a_description_is_read_where_there_is_one(samples: dict[str, Any]) -> None:
    def described(payload: Any) -> str | None:
        translation = JIRA.translate({}, body(payload))
        assert translation is not None
        return translation.happening.task.description

    created = samples["issue-created"]
    assert described(created) == created["issue"]["fields"]["description"]
    paragraph = {"type": "paragraph", "content": [{"type": "text", "text": "It fails."}]}
    created["issue"]["fields"]["description"] = {"type": "doc", "content": [paragraph, paragraph]}
    assert described(created) == "It fails.\nIt fails."
    created["issue"]["fields"]["description"] = None
    assert described(created) == ""
    del created["issue"]["fields"]["description"]
    assert described(created) is None
