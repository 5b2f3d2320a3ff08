"""What the webhooks of a point decide together, over real HTTP."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from hookyard.hooks.decision import Result
from hookyard.hooks.delivery.reply import parse_reply
from hookyard.hooks.points import POINTS, Point
from hookyard.hooks.webhook import Webhook
from tests.hooks.receiver import Answer, Home, Received, Receiver, entry

MAY_DENY = {Point.MESSAGE, Point.TOOL_CALL_START, Point.PRE_TOOL}


@pytest.mark.parametrize("point", list(Point))
async def test_a_deny_counts_only_where_the_contract_says_so(home: Home, receiver: Receiver, point: Point) -> None:
    receiver.answer({"result": "deny", "message": "not today"})
    hooks = home.one(receiver.url(), trigger="*")
    decision = await hooks.fire(point, tool_name="bash", tool_args="{}")
    assert receiver.at()[0].body["event"] == POINTS[point].event
    if point in MAY_DENY:
        assert decision.denied
        assert decision.message == "not today"
        assert home.lines == [f"[Hook] gate: deny at {POINTS[point].event}: not today"]
    else:
        assert decision.result is Result.WARNING
        assert "not today" in decision.message


MODIFIED = {
    Point.MESSAGE: ("new", "new"),
    Point.SYSTEM_PROMPT: ("new", "new"),
    Point.MODEL_RESPONSE: ("new", "new"),
    Point.TOOL_CALL_START: ({"command": "ls"}, '{"command": "ls"}'),
    Point.PRE_TOOL: ('{"command":"ls"}', '{"command":"ls"}'),
    Point.POST_TOOL: ("new", "new"),
}


@pytest.mark.parametrize("point", list(Point))
async def test_a_modify_counts_only_where_the_contract_says_so(home: Home, receiver: Receiver, point: Point) -> None:
    given, made = MODIFIED.get(point, ("new", None))
    receiver.answer({"result": "modify", "modified_content": given})
    decision = await home.one(receiver.url(), trigger="*").fire(point, tool_name="bash", tool_args="{}")
    assert decision.content == made
    assert decision.result is (Result.MODIFY if made else Result.WARNING)


async def test_each_sees_what_the_one_before_made_in_the_order_of_priority(home: Home, receiver: Receiver) -> None:
    def add(received: Received) -> dict[str, object]:
        args = json.loads(received.body["hook_context"]["tool_args"])
        args["seen"] = args.get("seen", "") + received.path[1:]
        return {"result": "modify", "modified_content": args}

    for path in ("/a", "/b", "/c"):
        receiver.answer(add, path)
    home.write(
        entry("a", "pre_tool", receiver.url("/a"), priority=5)
        + entry("b", "pre_tool", receiver.url("/b"))
        + entry("c", "pre_tool", receiver.url("/c"), priority=-5)
    )
    decision = await home.hooks().fire("pre_tool", tool_name="bash", tool_args='{"command": "ls"}')
    assert json.loads(decision.content or "") == {"command": "ls", "seen": "cba"}
    assert [verdict.webhook for verdict in decision.verdicts] == ["c", "b", "a"]
    assert decision.verdicts[1].before == decision.verdicts[0].after
    assert receiver.at("/b")[0].body["context"]["tool_args"] == decision.verdicts[0].after


async def test_the_first_deny_stops(home: Home, receiver: Receiver) -> None:
    receiver.answer({"result": "modify", "modified_content": {"x": 1}}, "/a")
    receiver.answer({"result": "deny", "message": "no"}, "/b")
    home.write("".join(entry(name, "pre_tool", receiver.url(f"/{name}")) for name in "abc"))
    decision = await home.hooks().fire("pre_tool", tool_name="bash", tool_args="{}")
    assert (decision.denied, decision.message, decision.content) == (True, "no", None)
    assert [request.path for request in receiver.requests] == ["/a", "/b"]


async def test_a_system_prompt_is_appended_to(home: Home, receiver: Receiver) -> None:
    receiver.answer({"result": "modify", "modified_content": "Be brief."}, "/a")
    receiver.answer({"result": "modify", "modified_content": "Be kind."}, "/b")
    home.write("".join(entry(name, "system_prompt", receiver.url(f"/{name}")) for name in "ab"))
    decision = await home.hooks().fire("system_prompt", system_prompt="You are an agent.")
    assert decision.content == "Be brief.\n\nBe kind."
    assert receiver.at("/b")[0].body["context"]["system_prompt"] == "You are an agent.\n\nBe brief."


UNFIT: dict[str, object] = {
    "missing": None,
    "number": 5,
    "list": [],
    "no json": "not json",
    "array": "[1]",
    "text": '"text"',
    "no number": {"timeout": float("nan")},
    "half a character": {"command": "\ud800"},
    "half a character, escaped": '{"command": "\\ud800"}',
}


@pytest.mark.parametrize("content", UNFIT.values(), ids=UNFIT)
async def test_arguments_that_do_not_fit_are_refused_and_never_run(
    home: Home, receiver: Receiver, content: object
) -> None:
    receiver.answer({"result": "modify", "modified_content": content})
    decision = await home.one(receiver.url()).fire("pre_tool", tool_name="bash", tool_args="{}")
    assert decision.denied
    assert "modification cannot be used" in decision.message


async def test_notifications_go_out_at_once(home: Home, receiver: Receiver) -> None:
    met = asyncio.Barrier(3)

    async def wait_for_the_others(_: Received) -> Answer:
        await met.wait()
        return {"result": "warning", "message": "met"}

    for name in "abc":
        receiver.answer(wait_for_the_others, f"/{name}")
    home.write("".join(entry(name, "turn_complete", receiver.url(f"/{name}")) for name in "abc"))
    decision = await home.hooks().fire("turn_complete", tokens_used=5)
    assert decision.warnings == ("met", "met", "met")


async def test_a_warning_is_told_and_the_step_goes_on(home: Home, receiver: Receiver) -> None:
    receiver.answer({"result": "warning", "message": "careful\x1b[31m\nnow"})
    decision = await home.one(receiver.url()).fire("pre_tool", tool_name="bash", tool_args="{}")
    assert decision.result is Result.WARNING
    assert home.lines == ["[Hook Warning] gate: careful [31m now"]


async def test_only_the_tools_of_the_matcher(home: Home, receiver: Receiver) -> None:
    hooks = home.one(receiver.url(), trigger="*", matcher="bash|Edit_*")
    for tool in ("bash", "Bash", "edit_file", "read_file", "BashOutput", None):
        await hooks.fire("pre_tool", tool_name=tool, tool_args="{}")
    await hooks.fire("session_start")
    called = [request.body["hook_context"].get("tool_name", "-") for request in receiver.at()]
    assert called == ["bash", "Bash", "edit_file", "-", "-"]
    assert hooks.listens("pre_tool", "bash")
    assert not hooks.listens("pre_tool", "read_file")


class TestFailingClosed:
    """Contract, sections 1 and 5: only a well-formed ok, warning or modify lets the step pass."""

    @pytest.mark.parametrize(
        "answer",
        [
            {"result": "ok"},
            {"result": "OK"},
            {"result": "warning", "message": "x"},
            {"result": "modify", "modified_content": {}},
        ],
        ids=str,
    )
    async def test_what_passes(self, home: Home, receiver: Receiver, answer: dict[str, object]) -> None:
        receiver.answer(answer)
        hooks = home.one(receiver.url(), on_failure="deny", retries=0)
        assert not (await hooks.fire("pre_tool", tool_name="bash", tool_args="{}")).denied

    @pytest.mark.parametrize(
        ("status", "content_type", "body"),
        [
            (200, "text/html", b"<html>Sign in</html>"),
            (200, "application/json", b""),
            (204, "application/json", b""),
            (200, "text/plain", b"ok"),
            (200, "application/json", b'"ok"'),
            (200, "application/json", b'[{"result": "ok"}]'),
            (200, "application/json", b"{}"),
            (200, "application/json", b'{"result": "fine"}'),
            (200, "application/json", b'{"result": ["ok"]}'),
            (200, "application/json", b'{"result": null}'),
            (200, "application/json", b'{"result": "ok"'),
            (200, "application/json", b"[" * 100_000),
            (200, "application/json; charset=utf-16", b'{"result": "\xff"}'),
            (200, "application/json; charset=nonsense", b"\xff\xfe"),
            (301, "text/plain", b"moved"),
            (400, "text/plain", b"bad"),
            (403, "text/plain", b"no"),
            (410, "text/plain", b"gone"),
            (500, "text/plain", b"oops"),
            (200, "application/json", b" " * (1024 * 1024) + b'{"result": "ok"}'),
        ],
    )
    async def test_what_denies(
        self, home: Home, receiver: Receiver, status: int, content_type: str, body: bytes
    ) -> None:
        receiver.answer(lambda _: web.Response(status=status, body=body, headers={"Content-Type": content_type}))
        hooks = home.one(receiver.url(), on_failure="deny", retries=0)
        assert hooks.fail_closed("pre_tool", "bash")
        decision = await hooks.fire("pre_tool", tool_name="bash", tool_args="{}")
        assert decision.denied
        assert "fails closed" in decision.message
        assert decision.verdicts[0].failed
        for point in ("tool_call_start", "post_tool", "message"):
            assert not (await hooks.fire(point, tool_name="bash")).denied

    @pytest.mark.parametrize(
        ("format_", "said", "passes"),
        [
            ("feishu", b'{"code": 0, "msg": "success"}', True),
            ("feishu", b'{"code": 19024, "msg": "Key Words Not Found"}', False),
            ("dingtalk", b'{"errcode": 310000, "errmsg": "sign not match"}', False),
            ("slack", b"ok", True),
            ("slack", b"<html>Sign in</html>", False),
        ],
    )
    async def test_a_chat_service_has_to_take_the_message(
        self, home: Home, receiver: Receiver, format_: str, said: bytes, passes: bool
    ) -> None:
        receiver.answer(lambda _: web.Response(body=said))
        hooks = home.one(receiver.url(), on_failure="deny", retries=0, format=format_)
        assert (await hooks.fire("pre_tool", tool_name="bash", tool_args="{}")).denied is not passes

    async def test_a_dead_receiver_and_a_timeout(self, home: Home, receiver: Receiver) -> None:
        hooks = home.one("http://127.0.0.1:9/", on_failure="deny", retries=0)
        assert "connection refused" in (await hooks.fire("pre_tool", tool_name="bash")).message

        async def slow(_: Received) -> Answer:
            await asyncio.sleep(5)
            return {"result": "ok"}

        receiver.answer(slow)
        hooks = home.one(receiver.url(), on_failure="deny", retries=0, timeout_secs=0.05)
        assert "timeout after 0.05 s" in (await hooks.fire("pre_tool", tool_name="bash")).message

    async def test_where_nothing_can_be_denied_it_warns(self, home: Home) -> None:
        hooks = home.one("http://127.0.0.1:9/", trigger="post_tool", on_failure="deny", retries=0)
        decision = await hooks.fire("post_tool", tool_name="bash", result="x")
        assert decision.result is Result.WARNING


class TestFailingOpen:
    async def test_a_webhook_that_fails_never_stops_the_agent(self, home: Home) -> None:
        decision = await home.one("http://127.0.0.1:9/", retries=0).fire("pre_tool", tool_name="bash")
        assert decision.result is Result.WARNING
        assert decision.verdicts[0].failed
        assert home.lines == ["[Hook Warning] gate: connection refused at attempt 1"]

    @pytest.mark.parametrize("body", [b"", b"ok", b"<html>", b"{}", b"[]", b'{"status": "received"}'])
    async def test_an_answer_that_says_nothing_is_ok(self, home: Home, receiver: Receiver, body: bytes) -> None:
        receiver.answer(lambda _: web.Response(body=body))
        decision = await home.one(receiver.url()).fire("pre_tool", tool_name="bash")
        assert (decision.result, decision.message, home.lines) == (Result.OK, "", [])

    async def test_an_unknown_result_warns(self, home: Home, receiver: Receiver) -> None:
        receiver.answer({"result": "denied", "message": "x"})
        decision = await home.one(receiver.url()).fire("pre_tool", tool_name="bash")
        assert decision.result is Result.WARNING
        assert home.lines == ['[Hook Warning] gate: unknown result "denied": x']


async def test_nothing_configured_costs_nothing(home: Home) -> None:
    hooks = home.hooks()
    assert not hooks.listens("pre_tool")
    assert (await hooks.fire("pre_tool", tool_name="bash")).result is Result.OK
    assert hooks.loaded_line() is None
    assert not hooks.fail_closed()


class TestWhoMayNotModify:
    async def test_a_chat_service(self, home: Home, receiver: Receiver) -> None:
        receiver.answer({"result": "modify", "modified_content": {"command": "evil"}})
        decision = await home.one(receiver.url(), format="discord").fire("pre_tool", tool_name="bash", tool_args="{}")
        assert (decision.result, decision.content) == (Result.OK, None)

    @pytest.mark.parametrize(
        ("url", "may"),
        [
            ("https://example.com/", True),
            ("http://example.com/", False),
            ("http://10.0.0.1/", False),
            ("http://127.0.0.1:5000/", True),
            ("http://[::1]/", True),
            ("http://localhost/", True),
            ("http://localhost.example.com/", False),
        ],
    )
    def test_plain_http_off_this_machine(self, url: str, may: bool) -> None:
        webhook = Webhook("a", "*", frozenset(Point), url)
        assert webhook.may_modify is may
        answer = parse_reply(
            b'{"result": "modify", "modified_content": {}}', "", POINTS[Point.PRE_TOOL], may_modify=webhook.may_modify
        )
        assert answer.result is (Result.MODIFY if may else Result.DENY)


class TestCharsets:
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            ('{"result": "deny", "message": "不行"}'.encode(), "text/html"),
            ('{"result": "deny", "message": "不行"}'.encode("gbk"), "application/json; charset=gbk"),
            ('{"result": "deny", "message": "不行"}'.encode("utf-8-sig"), "application/json"),
        ],
    )
    async def test_an_answer_is_read_for_what_it_is(
        self, home: Home, receiver: Receiver, body: bytes, content_type: str
    ) -> None:
        receiver.answer(lambda _: web.Response(body=body, headers={"Content-Type": content_type}))
        decision = await home.one(receiver.url()).fire("pre_tool", tool_name="bash")
        assert (decision.denied, decision.message) == (True, "不行")


class TestStrangeValues:
    """What an agent or a receiver hands over is never a reason to fail."""

    @pytest.mark.parametrize("point", [p for p, spec in POINTS.items() if spec.gating and not spec.for_tools])
    async def test_what_no_model_takes_and_no_database_keeps(
        self, home: Home, receiver: Receiver, point: Point
    ) -> None:
        receiver.answer({"result": "modify", "message": "a\ud800\0b", "modified_content": "c\ud800\0d"})
        decision = await home.one(receiver.url(), trigger=point).fire(point)
        assert decision.content == "c?\ufffdd"
        assert decision.verdicts[0].message == "a?\ufffdb"

    @pytest.mark.parametrize("mode", ["wait", "background"])
    async def test_what_json_cannot_hold(self, home: Home, receiver: Receiver, mode: str) -> None:
        hooks = home.one(receiver.url(), trigger="post_tool", mode=mode)
        decision = await hooks.fire(
            "post_tool",
            tool_name="\ud800",
            tool_args={"at": object()},
            working_dir=home.path,  # type: ignore[arg-type]
            result=b"\xff",
        )
        assert decision.result is Result.OK
        await hooks.aclose()
        assert receiver.at()[0].body["hook_context"]["working_dir"] == str(home.path)

    async def test_what_nothing_can_hold(self, home: Home, receiver: Receiver) -> None:
        loop: list[object] = []
        loop.append(loop)
        home.write(
            entry("open", "pre_tool", receiver.url())
            + entry("closed", "message", receiver.url(), on_failure="deny")
            + entry("later", "error", receiver.url(), mode="background")
        )
        hooks = home.hooks()
        decision = await hooks.fire("pre_tool", tool_name="bash", strange=loop)
        assert decision.result is Result.WARNING
        assert home.lines[0].startswith("[Hook Warning] open: hookyard could not call it: ValueError")
        assert (await hooks.fire("message", content="x", strange=loop)).denied
        assert (await hooks.fire("error", strange=loop)).result is Result.OK
        assert "the event cannot be written as JSON" in home.lines[-1]
