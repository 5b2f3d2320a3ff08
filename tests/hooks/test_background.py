"""What nobody waits for: it goes out in order, by the rules of retry, and ends as a dead letter or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from hookyard import Hooks
from hookyard.hooks.delivery.delivery_log import DeliveryState
from hookyard.hooks.delivery.sender import Sender
from hookyard.hooks.hooks import server_sender
from hookyard.hooks.outbox.outbox import Outbox
from tests.hooks.receiver import Answer, FakeClock, Home, Received, Receiver, entry


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what is waited for happens in another task, thread or process
            await asyncio.sleep(0.005)


async def states(hooks: Hooks) -> list[DeliveryState]:
    outbox: Outbox = hooks.sender.background.outbox
    return [delivery.state for delivery in await outbox.listed()]


async def test_the_agent_never_waits(home: Home, receiver: Receiver) -> None:
    release = asyncio.Event()

    async def slow(_: Received) -> Answer:
        await release.wait()
        return {"result": "deny", "message": "too late"}

    receiver.answer(slow)
    hooks = home.one(receiver.url(), mode="background")
    await hooks.fire("pre_tool", tool_name="bash")
    decision = await hooks.fire("pre_tool", tool_name="bash", tool_args="{}")
    assert [delivery.attempts for delivery in await hooks.sender.background.outbox.listed()] == [(), ()]
    assert (decision.denied, decision.verdicts) == (False, ())
    release.set()
    await until(lambda: len(receiver.at()) == 2)
    await hooks.aclose()
    assert "[Hook Warning] gate: wants to deny, which is not possible in the background: too late" in home.lines


async def test_the_order_is_kept_and_the_body_is_the_contract_s(home: Home, receiver: Receiver) -> None:
    hooks = home.one(receiver.url(), trigger="post_tool", mode="background", secret="s")
    for number in range(20):
        await hooks.fire("post_tool", tool_name="bash", call_id=f"c{number}")
    await until(lambda: len(receiver.at()) == 20)
    await hooks.aclose()
    assert [received.body["context"]["call_id"] for received in receiver.at()] == [f"c{n}" for n in range(20)]
    first = receiver.at()[0]
    assert first.body["event"] == "post_tool_execution"
    assert "webhook-signature" in first.headers


async def test_events_are_batched(home: Home, receiver: Receiver) -> None:
    home.write(
        f'[[async_webhooks]]\nname = "b"\nurl = "{receiver.url()}"\nbatch_size = 4\nflush_interval_ms = 60000\n'
        'headers = { Authorization = "Bearer t0ken" }\n'
    )
    hooks = home.hooks()
    for number in range(6):
        await hooks.fire("pre_tool" if number % 2 else "session_start", tool_name="bash", call_id=f"c{number}")
    await until(lambda: len(receiver.at()) == 1)
    await hooks.aclose()
    assert [len(received.body["events"]) for received in receiver.at()] == [4, 2]
    assert set(receiver.at()[0].body["events"][0]) == {"event", "hook_name", "trigger", "context", "timestamp_ms"}
    assert b"t0ken" not in receiver.at()[0].raw
    assert receiver.at()[0].headers["Authorization"] == "Bearer t0ken"


async def test_failures_are_tried_again_and_end_as_a_dead_letter(home: Home, receiver: Receiver) -> None:
    receiver.answer(lambda _: web.Response(status=500))
    hooks = home.one(receiver.url(), trigger="error", mode="background", retries=1)
    await hooks.fire("error", error_message="x")
    await until(lambda: len(receiver.at()) == 2)
    await until(lambda: len(home.lines) == 2)
    await hooks.aclose()
    assert home.lines[-1] == "[Hook Warning] gate: HTTP 500 at attempt 2: Internal Server Error"
    again = home.hooks()
    (dead,) = await again.sender.background.outbox.listed(state=DeliveryState.DEAD)
    assert [attempt.status for attempt in dead.attempts] == [500, 500]
    assert {received.headers["webhook-id"] for received in receiver.at()} == {dead.id}
    receiver.answer({"result": "ok"})
    await again.sender.background.outbox.replay(dead.id)
    again.sender.background.start()
    await until(lambda: len(receiver.at()) == 3)
    await again.aclose()
    assert receiver.at()[2].headers["webhook-id"] == dead.id


async def test_a_long_retry_after_is_waited_for_on_disk(home: Home, receiver: Receiver) -> None:
    receiver.answer(lambda _: web.Response(status=429, headers={"Retry-After": "600"}))
    hooks = home.one(receiver.url(), trigger="error", mode="background")
    await hooks.fire("error")
    await until(lambda: len(receiver.at()) == 1)
    assert await hooks.sender.background.aclose(3600) == 1  # which does not last as long
    again = home.hooks()
    assert await states(again) == [DeliveryState.PENDING]
    await again.aclose()


async def test_what_one_process_left_the_next_one_sends(home: Home, receiver: Receiver) -> None:
    first = home.one("http://127.0.0.1:9/", trigger="error", mode="background", retries=100)
    await first.fire("error", error_message="left")
    await first.sender.background.aclose(0)
    home.write(entry("gate", "error", receiver.url(), mode="background"))
    second = home.hooks()
    second.sender.background.start()
    await until(lambda: len(receiver.at()) == 1)
    assert receiver.at()[0].body["context"]["error_message"] == "left"


@pytest.mark.parametrize("now", ["", entry("gate", "error", "http://127.0.0.1:9/", enabled=False, mode="background")])
async def test_a_webhook_that_is_gone_leaves_dead_letters(home: Home, now: str) -> None:
    first = home.one("http://127.0.0.1:9/", trigger="error", mode="background", retries=100)
    await first.fire("error")
    await first.sender.background.aclose(0)
    home.write(now + entry("other", "error", "http://127.0.0.1:9/", mode="background"))
    second = home.hooks()
    second.sender.background.start()
    async with asyncio.timeout(60):
        while DeliveryState.DEAD not in await states(second):  # noqa: ASYNC110 - the outbox tells nobody
            await asyncio.sleep(0.01)


async def test_a_webhook_whose_entry_is_broken_keeps_what_it_is_owed(home: Home) -> None:
    first = home.one("http://127.0.0.1:9/", trigger="error", mode="background", retries=100)
    await first.fire("error")
    await first.sender.background.aclose(0)
    broken = entry("gate", "error", "http://127.0.0.1:9/", mode="background", timeout_secs="x")
    home.write(broken + entry("other", "error", "http://127.0.0.1:9/", mode="background"))
    second = home.hooks()
    await second.aclose()
    third = home.hooks()
    assert await states(third) == [DeliveryState.PENDING]


async def test_what_the_disk_does_not_take_is_tried_at_once(home: Home, receiver: Receiver) -> None:
    (home.path / "outbox.db").mkdir()
    hooks = home.one(receiver.url(), trigger="error", mode="background")
    await hooks.fire("error", error_message="x")
    await until(lambda: len(receiver.at()) == 1)
    assert home.lines[0].startswith("[Hook Warning] gate: not kept on disk: ")
    await hooks.aclose()


async def test_an_endpoint_that_is_gone_is_left_alone_and_told_of(home: Home, receiver: Receiver) -> None:
    receiver.answer(lambda _: web.Response(status=410))
    home.write(
        entry("open", "pre_tool", receiver.url())
        + entry("later", "error", receiver.url(), mode="background")
        + entry("closed", "tool_call_start", receiver.url(), on_failure="deny")
    )
    hooks = home.hooks()
    await hooks.fire("pre_tool", tool_name="bash")
    assert "switched off for 60 min" in home.lines[-1]
    decision = await hooks.fire("pre_tool", tool_name="bash")
    assert decision.message.startswith("not called: switched off")
    await hooks.fire("error")
    assert len(receiver.requests) == 1
    for _ in range(3):
        assert (await hooks.fire("tool_call_start", tool_name="bash")).denied
    assert len(receiver.requests) == 4, "a gate that fails closed is always called"
    await hooks.aclose()
    assert len(receiver.requests) == 4
    assert (await states(home.hooks())).count(DeliveryState.PENDING) == 1


async def test_an_endpoint_that_keeps_failing_comes_back_by_itself(
    home: Home, receiver: Receiver, clock: FakeClock
) -> None:
    receiver.answer(lambda _: web.Response(status=500))
    home.write(entry("gate", "pre_tool", receiver.url(), retries=0))
    hooks = home.hooks(clock=clock)
    for _ in range(8):
        await hooks.fire("pre_tool", tool_name="bash")
    assert len(receiver.at()) == 5
    clock.advance(31)
    receiver.answer({"result": "deny", "message": "back"})
    assert (await hooks.fire("pre_tool", tool_name="bash")).message == "back"
    assert (await hooks.fire("pre_tool", tool_name="bash")).message == "back"


async def test_what_is_too_much_for_a_chat_service_is_sent_later(
    home: Home, receiver: Receiver, clock: FakeClock
) -> None:
    receiver.answer(lambda _: web.Response(text="ok"))
    home.write(entry("gate", "error", receiver.url(), format="slack"))  # Slack takes one message a second
    hooks = home.hooks(clock=clock)
    decisions = [await hooks.fire("error", error_message=f"e{number}") for number in range(3)]
    assert [decision.verdicts[0].message for decision in decisions] == [
        "",
        *["sent later: the service takes no more messages just now"] * 2,
    ]
    assert len(receiver.at()) == 1
    for count in (2, 3):
        clock.advance(1.1)
        await until(lambda: len(receiver.at()) == count)  # noqa: B023 - called at once
    assert [f"e{number}" in str(received.body) for number, received in enumerate(receiver.at())] == [True] * 3
    await hooks.aclose()


async def test_a_process_can_learn_of_webhooks_that_it_does_not_know_yet(tmp_path: Path, receiver: Receiver) -> None:
    networks = (ip_network("127.0.0.0/8"),)
    entries = [{"name": "later", "trigger": "error", "url": receiver.url(), "mode": "background"}]

    def hooks_of(sender: Sender) -> Hooks:
        return Hooks.for_server(tmp_path, sender, webhooks=entries, workspace_id="ws_1", environ={})

    before = server_sender(tmp_path)  # may not reach the receiver: it leaves something behind
    await hooks_of(before).fire("error", error_message="left")
    await before.background.aclose(0)
    after = server_sender(tmp_path, allow=networks)
    learned: list[Hooks] = []

    async def learn(origin: str) -> None:
        assert origin == "workspace ws_1"
        learned.append(hooks_of(after))

    after.background.on_unknown_origin = learn
    after.background.resume()
    await until(lambda: len(receiver.at()) == 1)
    assert len(learned) == 1
    await after.aclose()


async def test_an_audit_log_hears_of_what_was_denied(home: Home, receiver: Receiver) -> None:
    receiver.answer({"result": "deny", "message": "no"}, "/gate")
    home.write(
        entry("gate", "pre_tool", receiver.url("/gate"))
        + entry("next", "pre_tool", receiver.url("/next"))
        + entry("audit", "pre_tool", receiver.url("/audit"), mode="background")
    )
    hooks = home.hooks()
    assert (await hooks.fire("pre_tool", tool_name="bash", tool_args='{"command": "rm -rf /"}')).denied
    await hooks.aclose()
    assert [len(receiver.at(path)) for path in ("/gate", "/next", "/audit")] == [1, 0, 1]
    assert "rm -rf" in receiver.at("/audit")[0].body["context"]["tool_args"]
