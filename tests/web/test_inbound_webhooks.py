"""The doors of services: signatures, mirrored tasks, comments posted back."""

import asyncio
import hashlib
import hmac
import ipaddress
import json
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from sqlalchemy import select

from hookyard.core.clock import SystemClock
from hookyard.hooks.delivery.egress import Egress
from hookyard.hooks.delivery.guard import Guard
from hookyard.store import schema
from hookyard.workspace.outgoing_comments import CommentSender
from tests.web.conftest import Answer, Server

SECRET = "a secret that GitHub has too"
SOURCES = "/api/v1/workspaces/w/sources"


def payload(action: str, *, status: str = "open", at: str = "2026-01-15T09:00:00Z", **more: Any) -> dict[str, Any]:
    """An `issues` delivery of the shape that GitHub sends, as far as it is read."""
    user = {"id": 7, "login": "li-si"}
    issue = {
        "html_url": "https://github.com/owner/repo/issues/12",
        "number": 12,
        "title": "修复登录Bug",
        "state": status,
        "labels": [{"name": "bug"}],
        "assignee": None,
        "user": user,
        "author_association": "MEMBER",
        "created_at": "2026-01-15T08:00:00Z",
        "updated_at": at,
    }
    repository = {"full_name": "owner/repo", "html_url": "https://github.com/owner/repo"}
    return {"action": action, "issue": issue, "repository": repository, "sender": user} | more


def commented(text: str, author: str = "li-si") -> dict[str, Any]:
    """An `issue_comment` delivery."""
    user = {"id": 8, "login": author}
    comment = {
        "id": 99,
        "body": text,
        "user": user,
        "author_association": "MEMBER",
        "created_at": "2026-01-15T10:00:00Z",
        "html_url": "https://github.com/owner/repo/issues/12#issuecomment-99",
    }
    return payload("created", comment=comment, sender=user)


async def deliver(
    server: Server,
    body: dict[str, Any],
    *,
    event: str = "issues",
    delivery: str = "1",
    secret: str = SECRET,
    workspace: str = "w",
) -> Answer:
    """Send a delivery as GitHub does."""
    raw = json.dumps(body).encode()
    headers = {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": delivery,
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest(),
    }
    return await server.nobody.request("POST", f"/in/github/{workspace}", data=raw, headers=headers)


@pytest.fixture
async def github(server: Server) -> Server:
    """A server whose workspace `w` takes GitHub's webhooks."""
    made = await server.admin.request("PUT", f"{SOURCES}/github", {"secret": SECRET})
    assert made.status == 200, made.text
    return server


async def test_a_delivery_gives_its_events_and_the_mirrored_task(github: Server) -> None:
    opened = await deliver(github, payload("opened"))
    assert opened.status == 202, opened.text
    closed = await deliver(github, payload("closed", status="closed", at="2026-01-15T09:30:00Z"), delivery="2")
    assert len(closed.json()["results"]) == 2
    assert await github.events() == ["task.created", "task.updated", "task.status_changed"]
    task = (await github.member.get("/api/v1/workspaces/w/tasks/owner/repo%2312")).json()
    assert (task["taskId"], task["title"], task["status"], task["labels"]) == (
        "owner/repo#12",
        "修复登录Bug",
        "closed",
        ["bug"],
    )
    assert task["url"] == "https://github.com/owner/repo/issues/12"
    same = (await github.member.get(f"/api/v1/workspaces/w/tasks/{task['taskDBId']}")).json()
    assert same == task
    comment = await github.member.post("/api/v1/workspaces/w/tasks/owner/repo%2312/comments", {"content": "seen"})
    assert comment.status == 201


async def test_an_agent_can_read_what_the_issue_says(github: Server) -> None:
    async def description() -> Any:
        return (await github.member.get("/api/v1/workspaces/w/tasks/owner/repo%2312")).json()["description"]

    opened = payload("opened")
    opened["issue"]["body"] = "It fails.\n" + "x" * 70_000
    assert (await deliver(github, opened)).status == 202
    assert await description() == opened["issue"]["body"][:65_536]
    unsaid = payload("labeled", at="2026-01-15T09:10:00Z")  # without a body: what is known stays
    assert (await deliver(github, unsaid, delivery="2")).status == 202
    assert (await description()).startswith("It fails.")
    emptied = payload("edited", at="2026-01-15T09:20:00Z", changes={"body": {"from": "It fails."}})
    emptied["issue"]["body"] = None
    assert (await deliver(github, emptied, delivery="3")).status == 202
    assert await description() == ""


async def test_a_repeated_delivery_changes_nothing(github: Server) -> None:
    for _ in range(3):
        assert (await deliver(github, commented("hello"), event="issue_comment", delivery="same")).status == 202
    assert await github.events() == ["task.commented"]
    comments = (await github.member.get("/api/v1/workspaces/w/tasks/owner/repo%2312/comments")).json()["items"]
    assert [comment["content"] for comment in comments] == ["hello"]


async def test_the_metrics_count_deliveries(github: Server) -> None:
    for _ in range(2):
        assert (await deliver(github, payload("closed", status="closed"))).status == 202  # two events each
    assert (await deliver(github, payload("opened"), secret="wrong")).status == 401
    assert (await deliver(github, {"action": "opened"})).status == 422
    lines = (await github.nobody.get("/metrics")).text.splitlines()
    assert {
        'hookyard_events_total{outcome="accepted"} 2',
        'hookyard_events_total{outcome="duplicate"} 2',
        'hookyard_events_refused_total{status="401"} 1',
        'hookyard_events_refused_total{status="422"} 1',
    } <= set(lines)


async def test_an_older_delivery_never_undoes_a_newer(github: Server) -> None:
    await deliver(github, payload("closed", status="closed", at="2026-01-15T11:00:00Z"), delivery="new")
    await deliver(github, payload("reopened", status="open", at="2026-01-15T10:00:00Z"), delivery="old")
    task = (await github.member.get("/api/v1/workspaces/w/tasks/owner/repo%2312")).json()
    assert task["status"] == "closed"


async def test_what_is_deleted_stays_deleted_until_something_newer_is_heard_of_it(github: Server) -> None:
    async def status() -> int:
        return (await github.member.get("/api/v1/workspaces/w/tasks/owner/repo%2312")).status

    assert (await deliver(github, commented("hello"), event="issue_comment", delivery="1")).status == 202
    # Deleting moves no time of the issue's: the comment before it looks newer.
    assert (await deliver(github, payload("deleted"), delivery="2")).status == 202
    assert await status() == 404
    assert (await deliver(github, payload("labeled", at="2026-01-15T10:00:00Z"), delivery="3")).status == 202
    assert await status() == 404
    assert (await deliver(github, payload("opened", at="2026-01-15T10:00:01Z"), delivery="4")).status == 202
    assert await status() == 404  # it says when it was created
    assert (await deliver(github, payload("reopened", at="2026-01-15T10:00:01Z"), delivery="5")).status == 202
    assert await status() == 200


async def test_what_a_note_of_gitlab_leaves_out_stays_known(server: Server) -> None:
    assert (await server.admin.request("PUT", f"{SOURCES}/gitlab", {"secret": SECRET})).status == 200
    project = {"path_with_namespace": "group/project"}
    issue = {
        "iid": 7, "title": "Down", "state": "opened", "type": "Incident", "assignee_ids": [51], "action": "open",
        "url": "https://gitlab.com/group/project/-/issues/7", "created_at": "2026-01-15 09:00:00 UTC",
    }  # fmt: skip
    person = {"id": 5, "name": "Mei", "username": "mei"}
    opened = {
        "object_kind": "issue", "user": person, "project": project, "object_attributes": issue,
        "assignees": [{"name": "Li", "username": "li"}], "labels": [{"title": "api"}],
    }  # fmt: skip
    note = {"id": 1, "note": "Why?", "noteable_type": "Issue", "url": f"{issue['url']}#note_1"} | {
        "created_at": "2026-01-15 10:00:00 UTC"
    }
    told = {"iid": 7, "title": "Down again", "state": "opened", "assignee_ids": [51], "assignee_id": 51}
    noted = {"object_kind": "note", "user": person, "project": project, "object_attributes": note, "issue": told}
    for body in (opened, noted):
        answer = await server.nobody.request("POST", "/in/gitlab/w", body, headers={"x-gitlab-token": SECRET})
        assert answer.status == 202, answer.text
    task = (await server.member.get("/api/v1/workspaces/w/tasks/group/project%237")).json()
    assert (task["title"], task["type"], task["labels"]) == ("Down again", "incident", ["api"])
    assert (task["assigneeId"], task["assigneeName"]) == ("51", "Li")


async def test_what_a_comment_of_jira_leaves_out_stays_known(server: Server) -> None:
    assert (await server.admin.request("PUT", f"{SOURCES}/jira", {"secret": SECRET})).status == 200
    fields = {
        "summary": "Down", "issuetype": {"name": "Bug"}, "status": {"name": "To Do"}, "assignee": None,
        "labels": ["api", "urgent"], "description": "It is down.",
    }  # fmt: skip
    issue = {"key": "PRJ-7", "self": "https://x.atlassian.net/rest/api/2/issue/10007", "fields": fields}
    person = {"accountId": "a-5", "displayName": "Mei", "accountType": "atlassian"}
    created = {"webhookEvent": "jira:issue_created", "timestamp": 1768467600000, "user": person, "issue": issue}
    some = {name: fields[name] for name in ("summary", "issuetype", "assignee")} | {"status": {"name": "Done"}}
    comment = {"id": "10", "body": "Why?", "author": person}
    commented = {
        "webhookEvent": "comment_created", "timestamp": 1768467601000, "comment": comment,
        "issue": issue | {"fields": some},
    }  # fmt: skip
    for body in (created, commented):
        answer = await server.nobody.request("POST", f"/in/jira/w?secret={quote(SECRET)}", body)
        assert answer.status == 202, answer.text
    task = (await server.member.get("/api/v1/workspaces/w/tasks/PRJ-7")).json()
    assert (task["status"], task["labels"], task["description"]) == ("Done", ["api", "urgent"], "It is down.")
    bare = {"key": issue["key"], "self": issue["self"]}
    again = commented | {"timestamp": 1768467602000, "comment": comment | {"id": "11"}, "issue": bare}
    answer = await server.nobody.request("POST", f"/in/jira/w?secret={quote(SECRET)}", again)
    assert answer.status == 202, answer.text
    task = (await server.member.get("/api/v1/workspaces/w/tasks/PRJ-7")).json()
    assert (task["title"], task["type"], task["status"]) == ("Down", "bug", "Done")


def jira(key: str, second: int, *items: dict[str, str], **more: Any) -> dict[str, Any]:
    """A `jira:issue_updated` of an issue with that key, some seconds after nine."""
    fields: dict[str, Any] = {
        "summary": f"Down at {second}", "issuetype": {"name": "Bug"}, "status": {"name": "To Do"}, "assignee": None,
        "labels": [], "creator": {"accountId": "a-6", "displayName": "Mei"}, "created": "2026-01-14T09:00:00.000+0000",
    }  # fmt: skip
    return {
        "webhookEvent": "jira:issue_updated",
        "timestamp": (1_768_467_600 + second) * 1000,
        "user": {"accountId": "a-5", "displayName": "Li"},
        "issue": {"key": key, "self": "https://x.atlassian.net/rest/api/2/issue/10007", "fields": fields},
        "changelog": {"items": [*items]},
    } | more


def moved(old: str, new: str) -> dict[str, str]:
    """The item of the changelog that tells of a move."""
    return {"field": "Key", "fromString": old, "toString": new}


RANKED = {"field": "Rank", "fromString": "", "toString": "higher"}


async def told_by_jira(server: Server, *bodies: dict[str, Any]) -> list[tuple[str, str]]:
    """Number and title of the workspace's tasks after deliveries of Jira, in that order of arrival."""
    assert (await server.admin.request("PUT", f"{SOURCES}/jira", {"secret": SECRET})).status == 200
    for body in bodies:
        answer = await server.nobody.request("POST", f"/in/jira/w?secret={quote(SECRET)}", body)
        assert answer.status == 202, answer.text
    tasks = (await server.member.get("/api/v1/workspaces/w/tasks")).json()["items"]
    return sorted((task["taskId"], task["title"]) for task in tasks)


async def test_an_issue_of_jira_that_is_moved_stays_one_task(server: Server) -> None:
    comment = {"id": "31", "body": "Why?", "author": {"accountId": "a-5", "displayName": "Li"}, "created": "1"}
    described = jira("OLD-1", 1, RANKED, comment=comment | {"updated": "1"})
    described["issue"]["fields"]["description"] = "It fails."
    assert await told_by_jira(server, described) == [("OLD-1", "Down at 1")]
    mine = await server.member.post("/api/v1/workspaces/w/tasks/OLD-1/comments", {"content": "seen"})
    assert mine.status == 201
    move = jira("NEW-7", 3, moved("OLD-1", "NEW-7"))
    late = jira("OLD-1", 2, RANKED)
    assert await told_by_jira(server, move, late, move) == [("NEW-7", "Down at 3")]
    task = (await server.member.get("/api/v1/workspaces/w/tasks/NEW-7")).json()
    assert (task["createdBy"], task["createdAt"], task["description"]) == (
        "Mei", "2026-01-14T09:00:00.000Z", "It fails."
    )  # fmt: skip
    comments = (await server.member.get("/api/v1/workspaces/w/tasks/NEW-7/comments")).json()["items"]
    assert sorted(one["content"] for one in comments) == ["Why?", "seen"]
    assert (await server.member.get("/api/v1/workspaces/w/tasks/OLD-1")).status == 404
    back = jira("OLD-1", 5, moved("NEW-7", "OLD-1"))
    assert await told_by_jira(server, back) == [("OLD-1", "Down at 5")]
    assert len((await server.member.get("/api/v1/workspaces/w/tasks/OLD-1/comments")).json()["items"]) == 2


async def test_moves_that_come_in_another_order_leave_the_task_where_it_is(server: Server) -> None:
    here, there, on = jira("OLD-1", 1, RANKED), jira("NEW-7", 3, moved("OLD-1", "NEW-7")), jira("NEW-7", 4, RANKED)
    assert await told_by_jira(server, here, on, there) == [("NEW-7", "Down at 4")]
    back = jira("OLD-1", 6, moved("NEW-7", "OLD-1"))
    assert await told_by_jira(server, back, there) == [("OLD-1", "Down at 6")]
    unheard = (jira("FAR-2", 7, moved("OLD-1", "FAR-2")), jira("OLD-1", 8, moved("FAR-2", "OLD-1")))
    assert await told_by_jira(server, *reversed(unheard)) == [("OLD-1", "Down at 8")]


async def test_an_issue_whose_page_has_another_path_stays_one_task(server: Server) -> None:
    assert (await server.admin.request("PUT", f"{SOURCES}/gitlab", {"secret": SECRET})).status == 200

    def issue(url: str, at: str) -> dict[str, Any]:
        item = {"iid": 7, "title": f"At {at}", "state": "opened", "action": "reopen", "url": url}
        item |= {"created_at": "2026-01-15 08:00:00 UTC", "updated_at": f"2026-01-15 {at} UTC"}
        person = {"id": 5, "name": "Mei", "username": "mei"}
        return {
            "object_kind": "issue", "user": person, "project": {"path_with_namespace": "group/project"},
            "object_attributes": item,
        }  # fmt: skip

    for body in (
        issue("https://gitlab.com/group/project/-/issues/7", "09:00:00"),
        issue("https://gitlab.com/group/project/-/work_items/7", "10:00:00"),
        issue("https://gitlab.com/group/project/-/issues/7", "09:30:00"),
        issue("https://gitlab.com/group/project/issues/7", "09:40:00"),
    ):
        answer = await server.nobody.request("POST", "/in/gitlab/w", body, headers={"x-gitlab-token": SECRET})
        assert answer.status == 202, answer.text
    (task,) = (await server.member.get("/api/v1/workspaces/w/tasks")).json()["items"]
    assert (task["taskId"], task["title"], task["url"]) == (
        "group/project#7", "At 10:00:00", "https://gitlab.com/group/project/-/work_items/7"
    )  # fmt: skip
    elsewhere = issue("https://git.example/group/project/-/issues/7", "11:00:00")
    answer = await server.nobody.request("POST", "/in/gitlab/w", elsewhere, headers={"x-gitlab-token": SECRET})
    assert answer.status == 202, answer.text
    assert len((await server.member.get("/api/v1/workspaces/w/tasks")).json()["items"]) == 2


async def test_a_name_with_half_a_letter_does_no_harm_to_the_list_of_events(server: Server) -> None:
    assert (await server.admin.request("PUT", f"{SOURCES}/gitlab", {"secret": SECRET})).status == 200
    item = {"iid": 7, "title": "t", "state": "opened", "action": "update", "url": "https://gitlab.com/g/p/-/issues/7"}
    body = {
        "object_kind": "issue", "user": {"id": 5, "name": "Mei", "username": "mei"},
        "project": {"path_with_namespace": "g/p"}, "object_attributes": item, "changes": {"\ud83d": {"current": 1}},
    }  # fmt: skip
    answer = await server.nobody.request("POST", "/in/gitlab/w", body, headers={"x-gitlab-token": SECRET})
    assert answer.status == 202, answer.text
    listed = await server.member.get("/api/v1/workspaces/w/events")
    assert listed.status == 200, listed.text


async def test_a_task_that_a_comment_tells_of_first_is_its_authors(github: Server) -> None:
    told = commented("hello", "somebody-else")
    assert (await deliver(github, told, event="issue_comment", delivery="c-1")).status == 202
    task = (await github.member.get("/api/v1/workspaces/w/tasks/owner/repo%2312")).json()
    assert (task["createdBy"], task["createdAt"]) == ("li-si", "2026-01-15T08:00:00.000Z")


async def test_two_workspaces_mirror_the_same_issue(github: Server) -> None:
    theirs = SOURCES.replace("/w/", "/x/")
    await github.admin.request("PUT", f"{theirs}/github", {"secret": "another secret"})
    assert (await deliver(github, payload("opened"))).status == 202
    assert (await deliver(github, payload("opened"), workspace="x", secret="another secret")).status == 202
    one = (await github.member.get("/api/v1/workspaces/w/tasks/owner/repo%2312")).json()
    other = (await github.stranger.get("/api/v1/workspaces/x/tasks/owner/repo%2312")).json()
    assert one["taskDBId"] == other["taskDBId"]


async def test_whoever_cannot_sign_learns_nothing(github: Server) -> None:
    wrong = await deliver(github, payload("opened"), secret="wrong")
    foreign = await deliver(github, payload("opened"), workspace="x")
    nowhere = await deliver(github, payload("opened"), workspace="nowhere")
    assert {answer.status for answer in (wrong, foreign, nowhere)} == {401}
    assert wrong.text == foreign.text == nowhere.text
    assert (await github.nobody.request("POST", "/in/nothing/w", data=b"{}")).status == 404
    assert (await github.nobody.request("POST", "/in/github/w", data=b"{}")).status == 401
    assert await github.events() == []


async def test_what_means_nothing_here_is_204(github: Server) -> None:
    assert (await deliver(github, {"zen": "Keep it simple."}, event="ping")).status == 204
    assert (await deliver(github, payload("pinned"), delivery="2")).status == 204
    assert await github.events() == []


async def test_a_signed_delivery_that_cannot_be_read_is_refused(github: Server) -> None:
    answer = await deliver(github, {"action": "opened"})
    assert answer.status == 422


async def test_secrets_go_in_and_never_come_out(github: Server) -> None:
    body = {"credential": "ghp_SECRETCREDENTIAL", "identities": ["Hookyard-Bot"]}
    made = await github.admin.request("PUT", f"{SOURCES}/github", body)
    assert made.json()["hasCredential"] is True
    listed = await github.admin.get(SOURCES)
    assert listed.json()["items"] == [made.json()]
    assert SECRET not in listed.text
    assert "SECRETCREDENTIAL" not in listed.text
    stored = await github.services.database.read(lambda conn: str(conn.execute(select(schema.sources)).all()))
    assert SECRET not in stored
    assert "SECRETCREDENTIAL" not in stored
    assert (await deliver(github, commented("mine", "hookyard-bot"), event="issue_comment")).status == 204
    assert (await deliver(github, payload("opened"), delivery="2")).status == 202
    assert (await github.admin.request("DELETE", f"{SOURCES}/github")).status == 204
    assert (await deliver(github, payload("opened"), delivery="3")).status == 401


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("github", {}, "secret"),
        ("github", {"secret": ""}, "secret"),
        ("github", {"secret": "s", "credential": "c"}, "identities"),
        ("jira", {"secret": "s", "credential": "c", "identities": ["me"]}, "url"),
        ("gitlab", {"secret": "s", "url": "ftp://x"}, "url"),
        ("gitlab", {"secret": "s", "url": "https://[x"}, "url"),
        ("gitlab", {"secret": "s", "url": "https://"}, "url"),
        ("github", {"secret": 1}, "secret"),
    ],
)
async def test_a_source_that_is_not_complete_is_refused(
    server: Server, kind: str, body: dict[str, Any], field: str
) -> None:
    answer = await server.admin.request("PUT", f"{SOURCES}/{kind}", body)
    assert (answer.status, answer.json()["problems"][0]["field"]) == (422, field)
    assert (await server.admin.get(SOURCES)).json()["items"] == []
    assert (await server.admin.request("PUT", f"{SOURCES}/nothing", {"secret": "s"})).status == 404


class Receiver:
    """Stands where the service's API is: keeps what is posted and answers as it is told."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str | None, dict[str, Any]]] = []
        self.statuses = [201]

    async def take(self, request: web.Request) -> web.Response:
        """Take one request."""
        self.posted.append((request.path, request.headers.get("private-token"), await request.json()))
        return web.Response(status=self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])


async def test_a_comment_is_posted_back_once_and_tried_again_when_it_must(server: Server) -> None:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    home = f"http://127.0.0.1:{runner.addresses[0][1]}"
    body = {"secret": "token", "credential": "glpat-CREDENTIAL", "identities": ["hookyard"], "url": home}
    assert (await server.admin.request("PUT", f"{SOURCES}/gitlab", body)).status == 200
    issue = {
        "object_kind": "issue",
        "user": {"id": 1, "name": "Li", "username": "li"},
        "project": {"path_with_namespace": "group/project", "web_url": f"{home}/group/project"},
        "object_attributes": {
            "iid": 3,
            "title": "t",
            "state": "opened",
            "action": "open",
            "url": f"{home}/group/project/-/issues/3",
        },
    }
    opened = await server.nobody.request(
        "POST", "/in/gitlab/w", data=json.dumps(issue).encode(), headers={"x-gitlab-token": "token"}
    )
    assert opened.status == 202, opened.text
    (task,) = (await server.member.get("/api/v1/workspaces/w/tasks")).json()["items"]
    made = await server.member.post(f"/api/v1/workspaces/w/tasks/{task['taskDBId']}/comments", {"content": "done"})
    assert made.status == 201
    clock = Later()
    egress = Egress(Guard.for_server((ipaddress.ip_network("127.0.0.0/8"),)))
    post_back = CommentSender(server.services.database, server.services.sources, egress.send, clock)
    receiver.statuses = [503, 201]
    assert await post_back.post_due() == 1
    assert await post_back.post_due() == 0
    clock.ahead += 30
    assert sum(await asyncio.gather(post_back.post_due(), post_back.post_due())) == 1
    clock.ahead += 10_000
    assert await post_back.post_due() == 0
    assert (
        receiver.posted
        == [("/api/v4/projects/group/project/issues/3/notes", "glpat-CREDENTIAL", {"body": "done\n\n— name of u1"})] * 2
    )
    refused = await server.member.post(f"/api/v1/workspaces/w/tasks/{task['taskDBId']}/comments", {"content": "no"})
    receiver.statuses = [403]
    assert await post_back.post_due() == 1
    clock.ahead += 10_000
    assert await post_back.post_due() == 0
    table = schema.outgoing_comments.c
    query = select(table.state, table.error).where(table.comment_id == refused.json()["id"])
    assert await server.services.database.read(lambda conn: tuple(conn.execute(query).one())) == (
        "dead",
        "the service answered 403",
    )
    await egress.aclose()
    await runner.cleanup()


class Later(SystemClock):
    """The machine's clock, some time ahead."""

    def __init__(self) -> None:
        self.ahead = 1.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return super().now() + self.ahead
