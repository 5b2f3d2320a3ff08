"""Bad input against a real server: each a clear error with the hint, the rest goes on, nothing accepted is lost."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.server import TOKEN, ServerProcess, eventually

EVENTS = "/api/v1/workspaces/w/events"
GOOD = {"eventName": "workspace.member_joined", "userId": "u1", "userName": "孙七"}


@pytest.fixture
def untouched(server: ServerProcess) -> Iterator[None]:
    """Nothing is stored by what the test does, and a good event is taken after it."""
    before = len(server.everything("/workspaces/w/events"))
    yield
    assert len(server.everything("/workspaces/w/events")) == before
    status, _ = server.request("POST", EVENTS, GOOD | {"id": f"after {before}"})
    assert status in (200, 202)


def refused(server: ServerProcess, expected: int, *request: Any, **more: Any) -> dict[str, Any]:
    """The problem document that a request is answered with."""
    status, document = server.request(*request, **more)
    assert status == expected, document
    assert document["status"] == expected
    assert "Traceback" not in json.dumps(document)
    return dict(document)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("raw", [b"", b"{", b'{"eventName": "task.created",}', b"\xff\xfe", b"[" * 50_000, b"nul"])
def test_malformed_json(server: ServerProcess, raw: bytes) -> None:
    document = refused(server, 422, "POST", EVENTS, raw=raw)
    assert document["hint"]


@pytest.mark.usefixtures("untouched")
def test_an_unknown_event_with_the_name_that_was_meant(server: ServerProcess) -> None:
    document = refused(server, 422, "POST", EVENTS, GOOD | {"eventName": "workspace.member_joind"})
    (problem,) = document["problems"]
    assert problem["field"] == "eventName"
    assert "workspace.member_joined" in problem["message"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"userId": 7}, "userId"),
        ({"userName": None}, "userName"),
        ({"colour": "red"}, "colour"),
        ({"workspaceId": "x"}, "workspaceId"),
        ({"authorTrust": "member"}, "authorTrust"),
        ({"cause": []}, "cause"),
        ({"timestamp": "yesterday"}, "timestamp"),
    ],
)
def test_a_wrong_variable_is_named(server: ServerProcess, change: dict[str, Any], field: str) -> None:
    document = refused(server, 422, "POST", EVENTS, GOOD | change)
    told = {problem["field"]: problem["message"] for problem in document["problems"]}
    assert field in told
    if change == {"userId": 7}:
        assert told[field] == "must be a string, but a number was sent"


@pytest.mark.usefixtures("untouched")
def test_one_bad_event_of_a_batch_and_nothing_is_stored(server: ServerProcess) -> None:
    def event(name: str) -> dict[str, Any]:
        data = {"userId": "a", "userName": "b"}
        return {"specversion": "1.0", "id": name, "source": "/tests", "type": "workspace.member_left", "data": data}

    batch = [event("1"), event("2") | {"type": "nothing"}, event("3")]
    status, document = server.request("POST", EVENTS, batch, Content_Type="application/cloudevents-batch+json")
    assert (status, {problem["index"] for problem in document["problems"]}) == (422, {1})


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", [EVENTS, "/api/v1/workspaces/w/tasks", "/in/github/w"])
def test_a_body_that_is_too_large(server: ServerProcess, path: str) -> None:
    document = refused(server, 413, "POST", path, raw=b'"' + b"x" * (2 * 1024 * 1024) + b'"')
    assert "1,048,576" in document["detail"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", [EVENTS, "/api/v1/workspaces/w/tasks"])
def test_a_body_that_grows_without_end_is_stopped(server: ServerProcess, path: str) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(18):
            connection.sendall(chunk)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.usefixtures("untouched")
def test_an_unknown_workspace_and_a_bad_token(server: ServerProcess) -> None:
    assert refused(server, 404, "POST", "/api/v1/workspaces/nowhere/events", GOOD)["where"] == "nowhere"
    assert refused(server, 401, "POST", EVENTS, GOOD, Authorization="Bearer hky_wrong")["hint"]
    assert refused(server, 401, "POST", EVENTS, GOOD, Authorization="Basic YTpi")["hint"]
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("POST", EVENTS, b"{}")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="hookyard"')
    connection.close()


def test_a_condition_that_loops_harms_nobody(server: ServerProcess) -> None:
    server.api("POST", "/workspaces", {"name": "L", "id": "loops"})
    path = "/workspaces/loops/callbacks"
    good = {"name": "good", "events": ["workspace.member_joined"], "prompt": "Hello {{userName}}"}
    server.api("POST", path, good | {"name": "loops", "condition": "(() => { for (;;); })()"})
    server.api("POST", path, good | {"condition": "ctx.userName === '孙七'"})
    sent = server.api("POST", "/workspaces/loops/events", GOOD)
    assert len(sent["runs"]) == 1
    event = server.api("GET", f"/workspaces/loops/events/{sent['id']}")
    verdicts = {one["name"]: one for one in event["callbacks"]}
    assert (verdicts["good"]["outcome"], verdicts["loops"]["gate"]) == ("run", "condition")
    assert verdicts["loops"]["reason"]
    (looping,) = (one for one in server.everything(path) if one["name"] == "loops")
    assert looping["conditionError"]["eventId"] == sent["id"]
    assert looping["conditionError"]["at"] == event["receivedAt"]


@pytest.mark.usefixtures("untouched")
def test_a_template_variable_that_does_not_exist(server: ServerProcess) -> None:
    callback = {"name": "c", "events": ["task.created"], "prompt": "One\n  {{taskTitel}}"}
    document = refused(server, 422, "POST", "/api/v1/workspaces/w/callbacks", callback)
    (problem,) = document["problems"]
    assert (problem["field"], problem["line"], problem["column"]) == ("prompt", 2, 3)
    assert "taskTitle" in problem["message"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "head",
    [
        b"POST /api/v1/workspaces/w/events HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/workspaces/%00/tasks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/workspaces/%ff%fe/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + TOKEN.encode()
        + b"\r\n\r\n",
    ],
)
def test_requests_that_are_hardly_http(server: ServerProcess, head: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head)
        connection.settimeout(2)
        try:
            answer = connection.recv(4096)
        except TimeoutError:
            answer = b""
    assert b" 500 " not in answer.split(b"\r\n")[0]


def test_an_unreachable_webhook_does_not_stop_a_run(server: ServerProcess) -> None:
    server.api("POST", "/workspaces", {"name": "U", "id": "unreachable"})
    hook = {"name": "away", "trigger": "message", "url": "http://127.0.0.1:9/", "retries": 0, "timeout_secs": 1}
    server.api("POST", "/workspaces/unreachable/webhooks", hook)
    callback = {"name": "c", "events": ["task.created"], "prompt": "{{taskTitle}}"}
    server.api("POST", "/workspaces/unreachable/callbacks", callback)
    server.api("POST", "/workspaces/unreachable/tasks", {"title": "go on"})

    def ended() -> dict[str, Any] | None:
        runs = server.everything("/workspaces/unreachable/runs")
        return runs[0] if runs and runs[0]["status"] not in ("queued", "running") else None

    assert eventually(ended, "the run ends")["status"] == "succeeded"


def test_the_log_shows_no_token(server: ServerProcess) -> None:
    assert TOKEN not in server.log.read_text()
