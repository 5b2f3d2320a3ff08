"""`redact`: what the patterns match never leaves, and comes back exactly or not at all."""

from __future__ import annotations

import json

from hookyard.hooks.decision import Result
from tests.hooks.receiver import Home, Received, Receiver

KEY = "sk-0123456789abcdef"
ARGS = json.dumps({"command": f"curl -H 'Authorization: {KEY}' https://example.com", "n": 1})


async def test_what_a_pattern_matches_never_leaves(home: Home, receiver: Receiver) -> None:
    hooks = home.one(receiver.url(), trigger="*", redact=["sk-[0-9a-f]+"])
    for point in ("pre_tool", "tool_call_start"):
        await hooks.fire(point, tool_name="bash", tool_args=ARGS, working_dir=f"/w/{KEY}")
    await hooks.fire("post_tool", tool_name="bash", tool_args=ARGS, result=f"sent {KEY}")
    await hooks.fire("message", content=f"my key is {KEY}")
    await hooks.fire("model_response", response=KEY)
    assert len(receiver.requests) == 5
    for received in receiver.requests:
        assert KEY.encode() not in received.raw
        assert b"[redacted-" in received.raw
        assert received.body["event"]


async def test_a_mark_that_comes_back_is_restored_exactly(home: Home, receiver: Receiver) -> None:
    def add_a_flag(received: Received) -> dict[str, object]:
        args = json.loads(received.body["context"]["tool_args"])
        return {"result": "modify", "modified_content": {**args, "command": args["command"] + " --fail"}}

    receiver.answer(add_a_flag)
    hooks = home.one(receiver.url(), redact=["sk-[0-9a-f]+"])
    decision = await hooks.fire("pre_tool", tool_name="bash", tool_args=ARGS)
    assert json.loads(decision.content or "") == {
        **json.loads(ARGS),
        "command": json.loads(ARGS)["command"] + " --fail",
    }


async def test_a_damaged_mark_denies_the_step(home: Home, receiver: Receiver) -> None:
    def damage(received: Received) -> dict[str, object]:
        args = json.loads(received.body["context"]["tool_args"])
        return {"result": "modify", "modified_content": {"command": args["command"].replace("-1]", "-9]")}}

    receiver.answer(damage)
    hooks = home.one(receiver.url(), redact=["sk-[0-9a-f]+"])
    decision = await hooks.fire("pre_tool", tool_name="bash", tool_args=ARGS)
    assert decision.denied
    assert "redaction mark" in decision.message
    receiver.answer({"result": "modify", "modified_content": "x [redacted-0123456789abcdef-1]"})
    hooks = home.one(receiver.url(), trigger="post_tool", redact=["sk-[0-9a-f]+"])
    decision = await hooks.fire("post_tool", tool_name="bash", result=f"the key {KEY}")
    assert (decision.result, decision.content) == (Result.WARNING, None)


async def test_what_is_kept_of_it_is_redacted_too(home: Home, receiver: Receiver) -> None:
    hooks = home.one(receiver.url(), trigger="session_end", mode="background", redact=["sk-[0-9a-f]+"])
    await hooks.fire("session_end", model_name=KEY)
    await hooks.aclose()
    assert KEY.encode() not in receiver.at()[0].raw
    assert all(KEY.encode() not in file.read_bytes() for file in home.path.glob("outbox.db*"))
