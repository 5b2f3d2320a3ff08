"""The API's answers: what the contract names, paging, refusals with their places."""

import asyncio
import json
import math
from typing import Any

import pytest
from sqlalchemy import select

from hookyard.store import schema
from hookyard.store.secrets import SecretBox
from tests.web.conftest import Server

CALLBACK: dict[str, Any] = {"name": "Blocked", "events": ["task.status_changed"], "prompt": "Look at {{taskTitle}}"}

CALLBACK_PARTS = {"events": ["task.created"]}


async def test_a_created_thing_answers_with_itself(server: Server) -> None:
    made = await server.admin.post("/api/v1/workspaces", {"name": "New", "id": "new"})
    assert (made.status, made.json()["id"]) == (201, "new")
    assert (await server.admin.post("/api/v1/workspaces", {"name": "New", "id": "new"})).status == 409
    unnamed = (await server.admin.post("/api/v1/workspaces", {"name": "Other"})).json()
    assert unnamed["id"].startswith("ws_")
    member = await server.admin.post("/api/v1/workspaces/new/members", {"userId": "u9", "userName": "孙七"})
    assert (member.status, member.json()["id"], member.json()["userName"]) == (201, "u9", "孙七")
    task = await server.admin.post("/api/v1/workspaces/new/tasks", {"title": "a", "type": "bug", "status": "todo"})
    assert (task.status, task.json()["taskId"]) == (201, "task-1")
    assert task.json()["taskDBId"] == task.json()["id"]
    comment = await server.admin.post("/api/v1/workspaces/new/tasks/task-1/comments", {"content": "hello"})
    assert (comment.status, comment.json()["content"]) == (201, "hello")
    assert await events_of(server, "new") == ["workspace.member_joined", "task.created", "task.commented"]


async def events_of(server: Server, workspace: str) -> list[str]:
    """Names of the events of a workspace whose first is a member who joined."""
    return ["workspace.member_joined", *await server.events(workspace)]


async def test_an_administrators_token_acts_for_another_user(server: Server) -> None:
    async def created_by(name: str) -> Any:
        answer = await server.admin.post(
            "/api/v1/workspaces/w/tasks", {"title": "a"}, headers={"X-Hookyard-Actor": name}
        )
        return answer.json()["createdBy"]

    assert await created_by("王五") == "王五"
    assert await created_by("%E7%8E%8B%E4%BA%94") == "王五"
    assert await created_by("u1") == "name of u1"
    refused = await server.member.post("/api/v1/workspaces/w/tasks", {"title": "a"}, headers={"X-Hookyard-Actor": "x"})
    assert refused.status == 403
    mine = await server.member.post("/api/v1/workspaces/w/tasks", {"title": "a"})
    assert mine.json()["createdBy"] == "name of u1"


async def test_a_token_is_shown_once_and_dies_at_once_where_it_is_revoked(server: Server) -> None:
    made = (await server.admin.post("/api/v1/workspaces/w/tokens", {"name": "ci", "scope": "ingest"})).json()
    listed = await server.admin.get("/api/v1/workspaces/w/tokens")
    assert made["token"] not in listed.text
    assert made["id"] in [one["id"] for one in listed.json()["items"]]
    client = server.client(made["token"])
    event = {"eventName": "workspace.member_left", "userId": "a", "userName": "b"}
    assert (await client.post("/api/v1/workspaces/w/events", event)).status == 202
    assert (await server.admin.request("DELETE", f"/api/v1/workspaces/w/tokens/{made['id']}")).status == 204
    assert (await client.post("/api/v1/workspaces/w/events", event)).status == 401


async def test_a_member_who_leaves_is_out_at_once(server: Server) -> None:
    assert (await server.member.get("/api/v1/workspaces/w/tasks")).status == 200
    assert (await server.admin.request("DELETE", "/api/v1/workspaces/w/members/u1")).status == 204
    assert (await server.member.get("/api/v1/workspaces/w/tasks")).status == 401


async def test_lists_are_paged_without_gaps_or_repetitions(server: Server) -> None:
    titles = [f"task {n}" for n in range(7)]
    for title in titles:
        await server.member.post("/api/v1/workspaces/w/tasks", {"title": title})
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await server.member.get(f"/api/v1/workspaces/w/tasks?limit=3{cursor}")).json()
        assert len(page["items"]) <= 3
        seen += [task["title"] for task in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == titles[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "cursor=nonsense",
        "cursor=W10",
        "cursor=WzEsMl0",
        "cursor=WzEuMCwiXHVkODAwIl0",  # [1.0,"\ud800"]
        "cursor=W05hTiwieCJd",  # [NaN,"x"]
        "cursor=" + "W1tb" * 240,  # brackets, nested too deep
        "limit=0",
        "limit=501",
        "limit=x",
    ],
)
async def test_a_bad_page_is_refused_with_its_field(server: Server, query: str) -> None:
    answer = await server.member.get(f"/api/v1/workspaces/w/tasks?{query}")
    assert answer.status == 422
    assert answer.json()["problems"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": 1}, "title"),
        ({"title": ""}, "title"),
        ({"title": "a", "labels": "x"}, "labels"),
        ({"title": "a", "labels": [1]}, "labels.0"),
        ({"title": "a", "colour": "red"}, "colour"),
        ({"title": "a" * 501}, "title"),
    ],
)
async def test_a_bad_body_is_refused_with_its_field_and_changes_nothing(
    server: Server, body: dict[str, Any], field: str
) -> None:
    answer = await server.member.post("/api/v1/workspaces/w/tasks", body)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [problem["field"] for problem in answer.json()["problems"]] == [field]
    assert await server.events() == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"title":', "no JSON at character 9: Expecting value"),
        (b"[]", "is no JSON object; send one"),
        (b'"x"', "is no JSON object; send one"),
        (b"\xff", "is no UTF-8; send a JSON object"),
        (b"null", "is no JSON object; send one"),
        (b'{"a":' * 20_000, "is nested too deep; send a JSON object"),
    ],
)
async def test_a_body_that_is_no_object_is_refused(server: Server, data: bytes, message: str) -> None:
    answer = await server.member.request(
        "POST", "/api/v1/workspaces/w/tasks", data=data, headers={"content-type": "application/json"}
    )
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    (problem,) = answer.json()["problems"]
    assert (problem["field"], problem["message"]) == ("body", message)


async def test_a_body_that_is_not_called_json_is_refused_with_the_mend(server: Server) -> None:
    answer = await server.member.request(
        "POST",
        "/api/v1/workspaces/w/tasks",
        data=b'{"title": "a"}',
        headers={"content-type": "application/x-www-form-urlencoded"},  # what curl -d sends by itself
    )
    assert answer.status == 422
    assert "Content-Type: application/json" in answer.json()["problems"][0]["message"]


HALF = "\ud800"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/workspaces", {"name": HALF}),
        ("POST", "/workspaces", {"name": "a", HALF: 1}),
        ("POST", "/workspaces/w/members", {"userId": HALF, "userName": "a"}),
        ("POST", "/workspaces/w/tokens", {"name": HALF, "scope": "ingest"}),
        ("POST", "/workspaces/w/callbacks", CALLBACK | {"agent": {"kind": "command", "argv": [HALF]}}),
        ("POST", "/workspaces/w/callbacks", CALLBACK | {"agent": {HALF: "command"}}),
        ("POST", "/workspaces/w/callbacks", CALLBACK | {"agent": {"kind": "dry-run", "timeoutSeconds": math.inf}}),
        ("POST", "/workspaces/w/callbacks", CALLBACK | {"agent": HALF}),
        ("POST", "/workspaces/w/callbacks/check", CALLBACK_PARTS | {"eventId": HALF}),
        ("POST", "/agent-profiles", {"name": "p", "kind": "command", "argv": [HALF]}),
        ("POST", "/agent-profiles", {"name": "p", "kind": "dry-run", HALF: 1}),
        ("POST", "/event-types", {"name": "a.b", "variables": [{"name": "v", "type": "string", "example": HALF}]}),
        ("POST", "/event-types", {"name": "a.b", "variables": [{"name": "v", "type": "number", "example": math.nan}]}),
        ("PUT", "/workspaces/w/sources/github", {"secret": HALF}),
        ("PUT", "/workspaces/w/webhooks/h", {"trigger": "pre_tool", "url": f"https://a.example/{HALF}"}),
        ("PUT", "/workspaces/w/webhooks/h", {HALF: "pre_tool"}),
        ("PATCH", "/settings", {HALF: 1}),
        ("PATCH", "/settings", {"eventCallback.maxQueueSize": math.inf}),
        ("PATCH", "/settings", {"eventCallback.maxQueueSize": math.nan}),
    ],
)
async def test_what_no_database_can_keep_is_refused_and_spoils_nothing(
    server: Server, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = await server.admin.request(method, f"/api/v1{path}", body)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text
    assert (await server.admin.get("/api/v1/settings")).status == 200
    assert (await server.admin.get("/api/v1/agent-profiles")).json()["items"] == []
    assert (await server.admin.get("/api/v1/workspaces/w/callbacks")).json()["items"] == []
    assert (await server.member.post("/api/v1/workspaces/w/tasks", {"title": "a"})).status == 201


async def test_a_callback_is_checked_versioned_compared_and_restored(server: Server) -> None:
    path = "/api/v1/workspaces/w/callbacks"
    bad = await server.member.post(
        path, CALLBACK | {"events": ["task.creatd"], "prompt": "{{nothing}}", "condition": "ctx."}
    )
    assert bad.status == 422
    assert {problem["field"] for problem in bad.json()["problems"]} >= {"events", "condition"}
    made = await server.member.post(path, CALLBACK)
    assert (made.status, made.json()["version"], made.json()["enabled"]) == (201, 1, True)
    one = f"{path}/{made.json()['id']}"
    changed = await server.member.request("PUT", one, CALLBACK | {"prompt": "Other"})
    assert changed.json()["version"] == 2
    assert (await server.member.request("PUT", f"{one}?version=1", CALLBACK)).status == 409
    diff = (await server.member.get(f"{one}/diff?from=1&to=2")).json()["diff"]
    assert "-prompt: Look at {{taskTitle}}" in diff
    assert "+prompt: Other" in diff
    restored = await server.member.post(f"{one}/versions/1/restore")
    assert (restored.json()["version"], restored.json()["prompt"]) == (3, CALLBACK["prompt"])
    assert [v["version"] for v in (await server.member.get(f"{one}/versions")).json()["items"]] == [3, 2, 1]
    assert (await server.stranger.get(one.replace("/w/", "/x/"))).status == 404
    assert (await server.member.request("DELETE", one)).status == 204
    assert (await server.member.get(one)).status == 404


async def test_a_deleted_callback_keeps_its_versions_and_is_not_restored(server: Server) -> None:
    made = await server.member.post("/api/v1/workspaces/w/callbacks", CALLBACK | {"name": "soon gone"})
    one = f"/api/v1/workspaces/w/callbacks/{made.json()['id']}"
    assert (await server.member.request("DELETE", one)).status == 204
    (version,) = (await server.member.get(f"{one}/versions")).json()["items"]
    refused = await server.member.post(f"{one}/versions/{version['version']}/restore")
    assert (refused.status, refused.json()["detail"]) == (409, "the callback is deleted")
    assert (await server.member.post(f"{one}/versions/9/restore")).status == 404
    assert (await server.member.get(one)).status == 404


async def test_an_agent_is_a_profile_or_an_administrators_own(server: Server) -> None:
    path = "/api/v1/workspaces/w/callbacks"
    unknown = await server.member.post(path, CALLBACK | {"agent": "nobody"})
    assert (unknown.status, unknown.json()["problems"][0]["field"]) == (422, "agent")
    inline = CALLBACK | {"agent": {"kind": "command", "argv": ["true"]}}
    assert (await server.member.post(path, inline)).status == 403
    assert (await server.admin.post(path, inline)).status == 201
    bad = await server.admin.post(path, CALLBACK | {"agent": {"kind": "command"}})
    assert (bad.status, bad.json()["problems"][0]["field"]) == (422, "agent")
    every = await server.member.post(path, CALLBACK | {"agent": "nobody", "prompt": "{{nothing}}", "condition": "ctx."})
    assert [problem["field"] for problem in every.json()["problems"]] == ["prompt", "condition", "agent"]
    for place in (path, f"{path}/check"):
        given = CALLBACK if place == path else {"events": ["task.created"]}
        wrong = await server.admin.post(place, given | {"agent": 5})
        (problem,) = wrong.json()["problems"]
        assert (wrong.status, problem["field"]) == (422, "agent")
        assert problem["message"].startswith("is the name of an agent profile")
    profile = {"name": "mine", "kind": "command", "argv": ["true"], "environment": ["SECRETS"]}
    assert (await server.admin.post("/api/v1/agent-profiles", profile)).status == 201
    assert (await server.admin.post("/api/v1/agent-profiles", profile)).status == 409
    assert (await server.member.post(path, CALLBACK | {"agent": "mine"})).status == 201
    shown = await server.member.get("/api/v1/agent-profiles/mine")
    assert shown.json() == {"id": "mine", "name": "mine", "kind": "command", "authors": "members"}
    assert (await server.admin.get("/api/v1/agent-profiles/mine")).json()["argv"] == ["true"]
    assert (
        await server.admin.request("PUT", "/api/v1/agent-profiles/mine", profile | {"argv": ["false"]})
    ).status == 200
    assert (await server.admin.request("DELETE", "/api/v1/agent-profiles/mine")).status == 204


async def test_settings_are_changed_together_or_not_at_all(server: Server) -> None:
    before = (await server.admin.get("/api/v1/settings")).json()
    assert before["eventCallback.maxQueueSize"] == 100
    changed = await server.admin.request("PATCH", "/api/v1/settings", {"eventCallback.mergeEnabled": True})
    assert changed.json()["eventCallback.mergeEnabled"] is True
    bad = await server.admin.request(
        "PATCH", "/api/v1/settings", {"eventCallback.mergeEnabled": False, "eventCallback.dedupWindowMs": "soon"}
    )
    assert (bad.status, bad.json()["problems"][0]["field"]) == (422, "eventCallback.dedupWindowMs")
    assert (await server.admin.request("PATCH", "/api/v1/settings", {"nothing.here": 1})).status == 404
    assert (await server.admin.get("/api/v1/settings")).json() == before | {"eventCallback.mergeEnabled": True}


async def test_administrators_declare_event_types(server: Server) -> None:
    made = await server.admin.post(
        "/api/v1/event-types",
        {"name": "deploy.finished", "variables": [{"name": "stage", "type": "string", "example": "production"}]},
    )
    assert (made.status, made.json()["id"]) == (201, "deploy.finished")
    event = {"eventName": "deploy.finished", "stage": "staging"}
    assert (await server.ingest.post("/api/v1/workspaces/w/events", event)).status == 202
    names = [one["name"] for one in (await server.member.get("/api/v1/event-types")).json()["items"]]
    assert (len(names), names[-1]) == (12, "deploy.finished")
    assert (await server.admin.request("DELETE", "/api/v1/event-types/deploy.finished")).status == 204
    assert (await server.ingest.post("/api/v1/workspaces/w/events", event)).status == 422
    assert (await server.admin.request("DELETE", "/api/v1/event-types/task.created")).status == 409


async def test_a_workspaces_webhooks_never_show_what_is_secret(server: Server) -> None:
    path = "/api/v1/workspaces/w/webhooks"
    hook = {
        "name": "gate",
        "trigger": "pre_tool",
        "url": "https://user:pass@hooks.example.com/services/SECRETPATH?key=SECRETKEY",
        "headers": {"X-Api-Key": "SECRETHEADER"},
        "secret": "whsec_" + "U0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVU",
    }
    made = await server.admin.post(path, hook)
    assert made.status == 201, made.text
    again = await server.admin.request("PUT", f"{path}/gate", {"trigger": "post_tool"})
    assert again.json()["trigger"] == "post_tool"
    listed = await server.admin.get(path)
    assert not any(word in made.text + again.text + listed.text for word in ("SECRET", "U0VD", "pass"))
    table = schema.webhooks.c
    sealed = await server.services.database.read(lambda conn: conn.execute(select(table.config)).scalar_one())
    assert b"SECRET" not in sealed
    kept = SecretBox.open(None, server.services.settings.data).unseal(sealed)
    assert json.loads(kept) == hook | {"trigger": "post_tool"}
    assert (await server.admin.post(path, hook)).status == 409
    bad = await server.admin.post(path, {"name": "b", "trigger": "pre_tool", "url": "nowhere", "retrys": 2})
    assert {problem["field"] for problem in bad.json()["problems"]} == {"url", "retrys"}
    assert (await server.admin.request("DELETE", f"{path}/gate")).status == 204


async def test_operations_at_once_are_all_kept(server: Server) -> None:
    made = await asyncio.gather(
        *(server.member.post("/api/v1/workspaces/w/tasks", {"title": str(n)}) for n in range(20))
    )
    assert {answer.status for answer in made} == {201}
    assert len({answer.json()["taskId"] for answer in made}) == 20
    assert await server.events() == ["task.created"] * 20


async def test_the_document_describes_every_door(server: Server) -> None:
    document = (await server.nobody.get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    assert "post" in document["paths"]["/api/v1/workspaces/{workspace}/events"]
    door = document["paths"]["/in/{kind}/{workspace}"]["post"]
    kind, workspace = door["parameters"]
    assert set(kind["schema"]["enum"]) >= {"github", "gitlab", "jira"}
    assert workspace["name"] == "workspace"
    assert door["security"] == []  # the services sign; a token is not asked for
    for one in kind["schema"]["enum"]:
        assert str((await server.nobody.post(f"/in/{one}/w", {})).status) in door["responses"]
    assert (await server.nobody.post("/in/nothing/w", {})).status == 404
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation.get("summary"), (method, path)


async def test_an_event_says_gate_by_gate_what_came_of_it(server: Server) -> None:
    path = "/api/v1/workspaces/w"
    listening = {
        "runs": CALLBACK,
        "wrong": CALLBACK | {"condition": "ctx.taskStatus === 'done'"},
        "broken": CALLBACK | {"condition": "ctx.taskTitle.nothing.here"},
        "other": CALLBACK | {"events": ["task.deleted"]},
        "off": CALLBACK | {"enabled": False},
    }
    for name, body in listening.items():
        assert (await server.member.post(f"{path}/callbacks", body | {"name": name})).status == 201
    await server.member.post(f"{path}/tasks", {"title": "a"})
    await server.member.request("PATCH", f"{path}/tasks/task-1", {"status": "blocked"})
    newest = (await server.member.get(f"{path}/events?name=task.status_changed")).json()["items"]
    assert len(newest) == 1
    event = (await server.member.get(f"{path}/events/{newest[0]['id']}")).json()
    verdicts = {verdict["name"]: verdict for verdict in event["callbacks"]}
    assert {name: (v["outcome"], v["gate"]) for name, v in verdicts.items()} == {
        "runs": ("run", None),
        "wrong": ("stopped", "condition"),
        "broken": ("stopped", "condition"),
        "other": ("stopped", "listening"),
        "off": ("stopped", "listening"),
    }
    assert "TypeError" in verdicts["broken"]["reason"]
    assert event["variables"]["taskStatus"] == "blocked"
    runs = (await server.member.get(f"{path}/runs")).json()["items"]
    assert [run["id"] for run in runs] == [verdicts["runs"]["runId"]]
    assert (await server.stranger.get(f"/api/v1/workspaces/x/events/{event['id']}")).status == 404
    assert (await server.stranger.get(f"/api/v1/workspaces/x/runs/{runs[0]['id']}")).status == 404


async def test_a_run_is_shown_cancelled_retried_and_its_event_replayed(server: Server) -> None:
    path = "/api/v1/workspaces/w"
    callback = (await server.member.post(f"{path}/callbacks", CALLBACK)).json()["id"]
    await server.member.post(f"{path}/tasks", {"title": "a"})
    await server.member.request("PATCH", f"{path}/tasks/task-1", {"status": "blocked"})
    (run,) = (await server.member.get(f"{path}/runs?status=queued&callback={callback}")).json()["items"]
    assert run["agent"] == "dry-run"  # nobody chose one
    waiting = (await server.member.get(f"{path}/runs/{run['id']}")).json()
    assert waiting["reason"] == "waits: there is no worker"
    assert (waiting["reasonCode"], waiting["reasonParams"]) == ("waits_no_worker", {})
    assert (await server.member.post(f"{path}/runs/{run['id']}/retry")).status == 409
    cancelled = await server.member.post(f"{path}/runs/{run['id']}/cancel")
    assert (cancelled.status, cancelled.json()["status"]) == (200, "cancelled")
    assert (await server.member.post(f"{path}/runs/{run['id']}/cancel")).status == 409
    again = await server.member.post(f"{path}/runs/{run['id']}/retry")
    assert (again.status, again.json()["status"], again.json()["retryOf"]) == (201, "queued", run["id"])
    assert again.json()["prompt"] == "Look at a"
    await server.member.request("PUT", f"{path}/callbacks/{callback}", CALLBACK | {"prompt": "Now"})
    for then, prompt in (("then", "Look at a"), ("now", "Now")):
        replayed = await server.member.post(f"{path}/events/{run['eventId']}/replay", {"callbacks": then})
        assert replayed.status == 202
        (started,) = replayed.json()["runs"]
        shown = (await server.member.get(f"{path}/runs/{started}")).json()
        assert (shown["prompt"], shown["event"]["taskTitle"]) == (prompt, "a")
    assert len((await server.member.get(f"{path}/runs?limit=2")).json()["items"]) == 2


async def test_a_callback_is_tried_on_a_real_event(server: Server) -> None:
    path = "/api/v1/workspaces/w"
    await server.member.post(f"{path}/tasks", {"title": "修复"})
    (event,) = (await server.member.get(f"{path}/events?name=task.created")).json()["items"]
    written = {"events": ["task.created"], "prompt": "See {{taskTitle}}", "condition": "ctx.taskTitle.includes('修')"}
    tried = (await server.member.post(f"{path}/callbacks/check", written | {"eventId": event["id"]})).json()
    assert tried == {"problems": [], "matched": True, "error": None, "prompt": "See 修复"}
    throws = written | {"condition": "ctx.nothing.at.all", "eventId": event["id"]}
    thrown = (await server.member.post(f"{path}/callbacks/check", throws)).json()
    assert (thrown["matched"], thrown["error"].partition(":")[0]) == (False, "TypeError")
    wrong = written | {"prompt": "{{nothing}}", "condition": "ctx.taskTitle."}
    found = (await server.member.post(f"{path}/callbacks/check", wrong)).json()["problems"]
    assert {(p["field"], p["line"]) for p in found if p["severity"] == "error"} == {("prompt", 1), ("condition", 1)}
    assert (
        await server.stranger.post("/api/v1/workspaces/x/callbacks/check", written | {"eventId": event["id"]})
    ).status == 404


async def test_the_time_machine_says_which_verdicts_an_edit_would_change(server: Server) -> None:
    path = "/api/v1/workspaces/w/callbacks"
    wants_bugs = CALLBACK | {"events": ["task.created"], "condition": "ctx.taskTitle.startsWith('bug')"}
    made = (await server.member.post(path, wants_bugs)).json()
    for title in ("bug one", "idea", "bug two", "idea two"):
        await server.member.post("/api/v1/workspaces/w/tasks", {"title": title})
    before = await server.events()
    edited = wants_bugs | {"condition": "ctx.taskTitle.endsWith('two')"}
    answer = await server.member.post(f"{path}/{made['id']}/time-machine", edited)
    assert answer.status == 200, answer.text
    told = answer.json()
    assert told["lookedAt"] == 5  # the member who joined too
    assert [(one["eventName"], one["before"], one["after"]) for one in told["changes"]] == [
        ("task.created", False, True),
        ("task.created", True, False),
    ]
    fewer = (await server.member.post(f"{path}/{made['id']}/time-machine", edited | {"last": 1})).json()
    assert (fewer["lookedAt"], len(fewer["changes"])) == (1, 1)
    unsaved = (await server.member.post(f"{path}/time-machine", wants_bugs)).json()
    assert [one["after"] for one in unsaved["changes"]] == [True, True]
    # It was only a look: no event, no run, no version.
    assert await server.events() == before
    assert (await server.member.get(f"{path}/{made['id']}")).json()["version"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"last": 0}, "last"),
        ({"last": 1001}, "last"),
        ({"condition": "ctx."}, "condition"),
        ({"events": ["task.creatd"]}, "events"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_the_time_machine_takes_only_what_could_be_saved(
    server: Server, change: dict[str, Any], field: str
) -> None:
    answer = await server.member.post("/api/v1/workspaces/w/callbacks/time-machine", CALLBACK | change)
    assert answer.status == 422
    assert field in {problem["field"] for problem in answer.json()["problems"]}


async def test_the_time_machine_judges_no_callback_of_others(server: Server) -> None:
    made = (await server.member.post("/api/v1/workspaces/w/callbacks", CALLBACK)).json()
    there = await server.stranger.post(f"/api/v1/workspaces/x/callbacks/{made['id']}/time-machine", CALLBACK)
    assert there.status == 404
    inline = CALLBACK | {"agent": {"kind": "dry-run"}}
    assert (await server.member.post("/api/v1/workspaces/w/callbacks/time-machine", inline)).status == 403
