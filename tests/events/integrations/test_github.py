"""GitHub's door, on GitHub's own examples and on whole deliveries of our own."""

import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import hookyard.cli
from hookyard.core.errors import InvalidError, PermanentError
from hookyard.events.integrations import integrations
from hookyard.events.model import AuthorTrust
from tests.events.integrations.deliveries import body, hostile, names, octokit_examples, signature, sound, survives

GITHUB = integrations()["github"]
LABELED = Path(hookyard.cli.__file__).parent / "demo" / "github_issues_labeled.json"


def headers(event: str = "issues") -> dict[str, str]:
    return {"x-github-event": event, "x-github-delivery": "d-1", "content-type": "application/json"}


@pytest.fixture
def labeled() -> Any:
    return json.loads(LABELED.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def examples() -> list[dict[str, Any]]:
    return octokit_examples()


def test_a_label_is_an_update_with_the_labels_in_its_changes(labeled: Any) -> None:
    translation = GITHUB.translate(headers(), body(labeled))
    assert translation is not None
    [draft] = translation.drafts
    url = "https://github.com/acme/shop/issues/12"
    assert draft.name == "task.updated"
    assert draft.variables == {
        "taskId": "acme/shop#12",
        "taskDBId": str(uuid.uuid5(uuid.NAMESPACE_URL, url)),
        "taskType": "issue",
        "taskTitle": "Payment callback times out intermittently",
        "taskStatus": "open",
        "updatedBy": "jonas-acme",
        "changes": '{"labels":["bug","blocked"],"labelsAdded":["blocked"]}',
    }
    assert (draft.source, draft.source_id, draft.operation_id) == ("hookyard:github", "d-1", "d-1")
    assert draft.author_trust is AuthorTrust.MEMBER
    assert draft.occurred_at == 1_768_467_600
    assert translation.happening.task.labels == ("bug", "blocked")


@pytest.mark.parametrize(
    ("action", "more", "events", "changes"),
    [
        ("opened", {}, ["task.created"], None),
        ("closed", {"state": "closed", "state_reason": "completed"}, ["task.updated", "task.status_changed"],
         {"status": "closed", "reason": "completed"}),
        ("reopened", {}, ["task.updated", "task.status_changed"], {"status": "open"}),
        ("deleted", {}, ["task.deleted"], None),
        ("transferred", {}, ["task.deleted"], None),
        ("milestoned", {"milestone": {"title": "v1"}}, ["task.updated"], {"milestone": "v1"}),
        ("demilestoned", {}, ["task.updated"], {"milestone": ""}),
        ("typed", {"type": {"name": "Bug"}}, ["task.updated"], {"type": "bug"}),
        ("locked", {}, ["task.updated"], {"locked": True}),
        ("pinned", {}, [], None),
        ("invented_tomorrow", {}, [], None),
        ("", {}, [], None),
    ],
)  # fmt: skip
def test_what_an_action_means(labeled: Any, action: str, more: dict[str, Any], events: list[str], changes: Any) -> None:
    labeled["action"] = action
    labeled["issue"].update(more)
    translation = GITHUB.translate(headers(), body(labeled))
    assert names(translation) == events
    if translation is not None:
        sound(translation)
        assert translation.happening.changes == changes


@pytest.mark.parametrize("label", [None, {}, {"name": ""}])
def test_a_label_that_was_deleted_has_no_name(labeled: Any, label: Any) -> None:
    labeled.update(action="unlabeled", label=label)
    translation = GITHUB.translate(headers(), body(labeled))
    assert translation is not None
    assert translation.happening.changes == {"labels": ["bug", "blocked"], "labelsRemoved": []}


def test_an_edit_names_the_new_values(labeled: Any) -> None:
    labeled.update(action="edited", changes={"title": {"from": "old"}, "body": {"from": "old"}})
    translation = GITHUB.translate(headers(), body(labeled))
    assert translation is not None
    assert translation.happening.changes == {
        "title": labeled["issue"]["title"],
        "description": labeled["issue"]["body"],
    }


def test_assigning_is_an_update_and_a_reassignment_of_one_operation(labeled: Any) -> None:
    mei, jonas = labeled["issue"]["user"], labeled["sender"]
    labeled.update(action="assigned", assignee=jonas)
    labeled["issue"].update(assignee=mei, assignees=[mei, jonas])
    translation = GITHUB.translate(headers(), body(labeled))
    assert translation is not None
    assert names(translation) == ["task.updated", "task.reassigned"]
    assert [d.source_id for d in translation.drafts] == ["d-1", "d-1:task.reassigned"]
    assert translation.drafts[1].variables["assigneeName"] == "jonas-acme"
    labeled.update(action="unassigned")
    for left, expected in (([mei], "mei-acme"), ([mei, jonas], "mei-acme"), ([jonas], ""), ([], "")):
        labeled["issue"].update(assignee=left[0] if left else None, assignees=left)
        translation = GITHUB.translate(headers(), body(labeled))
        assert translation is not None
        assert translation.drafts[1].variables["assigneeName"] == expected


@pytest.mark.parametrize(
    ("association", "trust"),
    [("OWNER", "member"), ("MEMBER", "member"), ("COLLABORATOR", "member"), ("CONTRIBUTOR", "outsider"),
     ("FIRST_TIME_CONTRIBUTOR", "outsider"), ("NONE", "outsider"), ("", "unknown"), (None, "unknown")],
)  # fmt: skip
def test_a_comment_is_trusted_as_its_author_is(labeled: Any, association: str | None, trust: str) -> None:
    labeled.update(
        action="created",
        comment={
            "id": 7,
            "body": "看看 👍",
            "user": labeled["sender"],
            "author_association": association,
            "created_at": "2026-01-15T09:05:00Z",
        },
    )
    translation = GITHUB.translate(headers("issue_comment"), body(labeled))
    assert translation is not None
    [draft] = translation.drafts
    assert draft.author_trust == trust
    assert draft.occurred_at == 1_768_467_900
    assert (draft.variables["commentContent"], draft.variables["commenterName"]) == ("看看 👍", "jonas-acme")
    sound(translation)
    for other in ("edited", "deleted"):
        labeled["action"] = other
        assert GITHUB.translate(headers("issue_comment"), body(labeled)) is None


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"state": "open", "draft": True}, "draft"),
        ({"state": "open", "draft": False}, "open"),
        ({"state": "closed", "merged": True}, "merged"),
        ({"state": "closed", "merged": False}, "closed"),
    ],
)
def test_the_status_of_a_pull_request(labeled: Any, state: dict[str, Any], status: str) -> None:
    labeled["pull_request"] = {
        **labeled.pop("issue"),
        **state,
        "html_url": "https://github.com/acme/shop/pull/12",
    }
    labeled["action"] = "closed" if state["state"] == "closed" else "ready_for_review"
    translation = GITHUB.translate(headers("pull_request"), body(labeled))
    assert translation is not None
    assert names(translation) == ["task.updated", "task.status_changed"]
    assert (translation.happening.task.type, translation.happening.task.status) == ("pull_request", status)


def test_our_own_doing_means_nothing(labeled: Any) -> None:
    assert GITHUB.translate(headers(), body(labeled), frozenset({"jonas-acme"})) is None
    labeled["sender"]["login"] = "Jonas-Acme"
    assert GITHUB.translate(headers(), body(labeled), frozenset({"jonas-acme"})) is None
    assert GITHUB.translate(headers(), body(labeled), frozenset({"hookyard[bot]", ""})) is not None


@pytest.mark.parametrize("event", ["ping", "push", "", "workflow_run"])
def test_other_events_mean_nothing(labeled: Any, event: str) -> None:
    assert GITHUB.translate(headers(event), body(labeled)) is None
    assert GITHUB.translate(headers(event), b"no json") is None


def test_a_delivery_may_come_as_a_form(labeled: Any) -> None:
    form = urlencode({"payload": json.dumps(labeled)}).encode()
    as_form = {**headers(), "content-type": "application/x-www-form-urlencoded"}
    assert names(GITHUB.translate(as_form, form)) == ["task.updated"]


def test_a_form_is_a_form_however_its_type_is_written_and_however_many_fields_it_has(labeled: Any) -> None:
    form = urlencode({"payload": json.dumps(labeled)}).encode()
    as_form = {**headers(), "content-type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}
    assert names(GITHUB.translate(as_form, form)) == ["task.updated"]
    with pytest.raises(InvalidError, match="form of many fields"):
        GITHUB.translate(as_form, b"&".join(b"f%d=1" % n for n in range(20)))


@pytest.mark.parametrize(("action", "queued"), [("enqueued", True), ("dequeued", False)])
def test_a_place_in_the_merge_queue_is_a_change(labeled: Any, action: str, queued: bool) -> None:
    labeled.update(action=action, pull_request=labeled.pop("issue"))
    translation = GITHUB.translate(headers("pull_request"), body(labeled))
    assert translation is not None
    assert translation.happening.changes == {"mergeQueue": queued}


def test_a_task_is_its_authors_whoever_is_heard_of_first(labeled: Any) -> None:
    labeled["issue"].update(user={"id": 99, "login": "mei"}, created_at="2026-01-01T00:00:00Z")
    translation = GITHUB.translate(headers(), body(labeled))
    assert translation is not None
    task = translation.happening.task
    assert (task.created_by, task.created_at) == ("mei", 1_767_225_600)


def test_a_comment_of_ours_is_none_whoever_the_sender_is(labeled: Any) -> None:
    comment = {"id": 7, "body": "done", "user": {"id": 5, "login": "hookyard[bot]"}, "author_association": "NONE"}
    labeled.update(action="created", comment=comment)
    assert GITHUB.translate(headers("issue_comment"), body(labeled), frozenset({"hookyard[bot]"})) is None
    assert GITHUB.translate(headers("issue_comment"), body(labeled), frozenset({"other[bot]"})) is not None


@pytest.mark.parametrize("address", ["javascript:alert(1)", "http://[x/acme/shop/issues/12", "/acme/shop/issues/12"])
def test_only_an_http_address_becomes_a_page(labeled: Any, address: str) -> None:
    labeled["issue"]["html_url"] = address
    del labeled["repository"]
    with pytest.raises(InvalidError, match="which issue"):
        GITHUB.translate(headers(), body(labeled))


def test_an_issue_whose_number_no_index_takes_is_refused(labeled: Any) -> None:
    labeled["repository"]["full_name"] = "o/" + "r" * 600
    with pytest.raises(InvalidError, match="number is too long"):
        GITHUB.translate(headers(), body(labeled))


def test_only_the_right_signature_verifies() -> None:
    raw, secret = b'{"a":1}', "geheim 任务"

    def verified(header: str, body: bytes = raw, key: str = secret) -> bool:
        return GITHUB.verify({"x-hub-signature-256": header}, {}, body, key, 0.0)

    good = signature(raw, secret)
    assert verified(good)
    assert verified(good.replace("sha256=", "SHA256=").upper().replace("SHA256=", "sha256="))
    for wrong in ("", "sha256=", good[:-1], good + "0", "sha1=" + good[7:], good[7:], "sha256=é"):
        assert not verified(wrong)
    assert not verified(good, body=raw + b" ")
    assert not verified(signature(raw, ""), key="")
    assert not GITHUB.verify({"x-hub-signature": good}, {}, raw, secret, 0.0)


def test_a_comment_goes_to_the_api_of_the_home_and_nowhere_else() -> None:
    task = ("acme/shop#12", "https://github.com/acme/shop/issues/12")
    request = GITHUB.comment(*task, "完成", "ghp_secret")
    assert request.url == "https://api.github.com/repos/acme/shop/issues/12/comments"
    assert json.loads(request.body) == {"body": "完成"}
    assert request.headers["authorization"] == "Bearer ghp_secret"
    assert "ghp_secret" not in repr(request)
    own = GITHUB.comment("a/b#1", "https://git.example/a/b/issues/1", "x", "t", "https://git.example/")
    assert own.url == "https://git.example/api/v3/repos/a/b/issues/1/comments"
    for task_id, url in [
        ("a/b#1", "https://evil.example/a/b/issues/1"),
        ("a/b#1", "http://github.com/a/b/issues/1"),
        ("a/b#../x", "https://github.com/a/b"),
        ("a?b/c#1", "https://github.com/a/b"),
        ("a#1", "https://github.com/a"),
    ]:
        with pytest.raises(PermanentError):
            GITHUB.comment(task_id, url, "x", "ghp_secret")


def test_odd_deliveries_are_survived(labeled: Any) -> None:
    assert len(hostile(labeled)) > 500
    survives(GITHUB, headers(), labeled)
    labeled.update(action="assigned", assignee=labeled["sender"])
    survives(GITHUB, headers(), labeled)
    for raw in (b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"{}"):
        with pytest.raises(InvalidError):
            GITHUB.translate(headers(), raw)


def test_text_that_no_database_takes_is_mended(labeled: Any) -> None:
    labeled["issue"]["title"] = "half \ud83d and \0"
    translation = GITHUB.translate(headers(), body(labeled))
    assert translation is not None
    assert translation.happening.task.title == "half \ufffd and \ufffd"


def test_githubs_own_examples(examples: list[dict[str, Any]]) -> None:
    told = set()
    for group in examples:
        for payload in group["examples"]:
            translation = GITHUB.translate(headers(group["name"]), body(payload))
            if translation is None:
                continue
            told.add((group["name"], payload["action"]))
            sound(translation)
            repository, number = (
                payload["repository"]["full_name"],
                (payload.get("issue") or payload["pull_request"])["number"],
            )
            assert translation.happening.task.task_id == f"{repository}#{number}"
    assert {name for name, _ in told} == {"issues", "issue_comment", "pull_request"}
    meaningless = {
        (group["name"], payload["action"])
        for group in examples
        if group["name"] in ("issues", "issue_comment", "pull_request")
        for payload in group["examples"]
    } - told
    assert meaningless == {
        ("issues", "pinned"),
        ("issues", "unpinned"),
        ("issue_comment", "edited"),
        ("issue_comment", "deleted"),
    }
