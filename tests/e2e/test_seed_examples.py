"""The seed of the event callbacks, section by section: every event, variable, example, feature, default and answer of
its FAQ, asked of a real server.

Where the seed tells of pages ("使用方式"), `tests/pages/test_story.py` goes its six steps in a browser.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.seed import Seed, read_seed
from tests.e2e.server import ServerProcess, eventually

FINAL = {"succeeded", "failed", "timed_out", "cancelled", "skipped"}
BLOCKED = {"eventName": "task.status_changed", "taskStatus": "blocked"}
CREATED = {"eventName": "task.created"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("seed") / "data"
    data.mkdir()
    with ServerProcess(data) as process:
        yield process


@pytest.fixture(scope="module")
def seed(shared: Path) -> Seed:
    return read_seed(shared / "seeds" / "event-callback.zh.txt")


class SeedEnvironment:
    """A workspace of its own, and what a test does there."""

    def __init__(self, server: ServerProcess, seed: Seed) -> None:
        self.server = server
        self.id = f"w{uuid.uuid4().hex[:12]}"
        self._samples = {one["name"]: one["sample"] for one in server.api("GET", "/event-types")["items"]}
        self._seed = seed
        server.api("POST", "/workspaces", {"name": self.id, "id": self.id})

    def api(self, method: str, path: str, body: object = None, by: str = "") -> Any:
        """A request in the workspace that has to succeed, by a person if one is named."""
        at = f"/api/v1/workspaces/{self.id}{path}"
        status, answer = self.server.request(method, at, body, X_Hookyard_Actor=quote(by))
        assert status < 400, (status, answer)
        return answer

    def callback(self, *events: str, **spec: Any) -> str:
        """A new callback; its prompt is every variable that it asks for."""
        given = {"name": "c", "events": events, "prompt": "{{eventName}}", "fence": "never", **spec}
        return str(self.api("POST", "/callbacks", given)["id"])

    def event(self, given: dict[str, Any]) -> dict[str, Any]:
        """A whole event as a client would send it; what a test does not say is an example."""
        sample = dict(self._samples[given["eventName"]])
        for common in ("timestamp", "workspaceId"):
            sample.pop(common)
        return {**sample, **given}

    def send(self, given: dict[str, Any]) -> dict[str, Any]:
        """Send an event; the answer."""
        answer: dict[str, Any] = self.api("POST", "/events", self.event(given))
        return answer

    def verdict(self, event_id: str, callback: str) -> tuple[str, str | None]:
        """What became of an event for a callback: outcome, and the gate that stopped it."""
        event = self.api("GET", f"/events/{event_id}")
        (found,) = [one for one in event["callbacks"] if one["callbackId"] == callback]
        return found["outcome"], found["gate"]

    def matches(self, condition: str, given: dict[str, Any]) -> bool:
        """Whether a new callback with a condition is started by an event; either way the condition could be judged."""
        callback = self.callback(given["eventName"], condition=condition)
        event = self.send({"id": uuid.uuid4().hex, **given})["id"]
        assert self.api("GET", f"/callbacks/{callback}")["conditionError"] is None
        verdict = self.verdict(event, callback)
        self.api("DELETE", f"/callbacks/{callback}")
        assert verdict in {("run", None), ("stopped", "condition")}
        return verdict == ("run", None)

    def events(self, name: str) -> list[dict[str, Any]]:
        """All events of a type, oldest first."""
        return self.server.everything(f"/workspaces/{self.id}/events?name={name}")[::-1]

    def runs(self, number: int) -> list[dict[str, Any]]:
        """The runs of the workspace with all details, oldest first, as soon as so many have ended."""

        def ended() -> list[str] | None:
            listed = self.server.everything(f"/workspaces/{self.id}/runs")
            done = all(run["status"] in FINAL for run in listed)
            return [run["id"] for run in listed] if done and len(listed) >= number else None

        found = eventually(ended, f"{number} runs have ended")
        assert len(found) == number
        return [self.api("GET", f"/runs/{run}") for run in found[::-1]]

    def prompts(self, number: int) -> list[str]:
        """Their prompts."""
        return [run["prompt"] for run in self.runs(number)]


@pytest.fixture
def env(server: ServerProcess, seed: Seed) -> SeedEnvironment:
    return SeedEnvironment(server, seed)


@contextmanager
def set_to(server: ServerProcess, **values: Any) -> Iterator[None]:
    """Settings of the event callbacks, for a while."""
    names = {f"eventCallback.{name}": value for name, value in values.items()}
    server.api("PATCH", "/settings", names)
    try:
        yield
    finally:
        server.api("PATCH", "/settings", dict.fromkeys(names))


EVENTS = (
    "task.created", "task.updated", "task.commented", "task.reassigned", "task.status_changed", "task.deleted",
    "conversation.error", "conversation.quota_exhausted", "conversation.timeout", "workspace.member_joined",
    "workspace.member_left",
)  # fmt: skip


# -- 支持的事件类型 ---------------------------------------------------------------------------------------------------


def test_events_are_those_of_the_seed_in_its_words(server: ServerProcess, seed: Seed) -> None:
    items = [one for one in server.api("GET", "/event-types")["items"] if not one["declared"]]
    assert [one["name"] for one in items] == list(seed.events) == list(EVENTS)
    common = ["eventName", "timestamp", "workspaceId"]
    for one in items:
        assert [variable["name"] for variable in one["variables"]] == common + seed.events[one["name"]]
        assert one["description"]["zh-CN"] == seed.triggers[one["name"]]


@pytest.mark.parametrize("name", EVENTS)
def test_event_carries_its_context_variables_into_prompt_and_condition(
    env: SeedEnvironment, seed: Seed, name: str
) -> None:
    """With the seed's own example values: each is what a prompt shows and of the type that a condition sees."""
    variables = seed.events[name]
    types = [f"typeof ctx.{variable} === '{seed.variables[variable].kind}'" for variable in variables]
    env.callback(name, prompt="\n".join(f"{{{{{v}}}}}" for v in variables), condition=" && ".join(types))
    sent = env.event({"eventName": name})
    env.send(sent)
    (prompt,) = env.prompts(1)
    assert prompt == "\n".join(str(sent[variable]) for variable in variables)


def test_event_task_created_when_a_task_is_made(env: SeedEnvironment) -> None:
    task = env.api("POST", "/tasks", {"title": "修复登录Bug", "type": "bug", "status": "todo"}, by="李四")
    (event,) = env.events("task.created")
    wanted = {"taskId": "task-1", "taskDBId": task["taskDBId"], "taskType": "bug", "taskTitle": "修复登录Bug"}
    assert shown(event) == {**wanted, "taskStatus": "todo", "createdBy": "李四"}


def test_event_task_updated_when_a_task_is_changed(env: SeedEnvironment) -> None:
    env.api("POST", "/tasks", {"title": "a", "type": "task", "status": "todo"})
    env.api("PATCH", "/tasks/task-1", {"title": "b"}, by="王五")
    (event,) = env.events("task.updated")
    assert (shown(event)["taskTitle"], shown(event)["updatedBy"]) == ("b", "王五")
    assert json.loads(shown(event)["changes"]) == {"title": "b"}


def test_event_task_commented_when_a_comment_is_added(env: SeedEnvironment) -> None:
    env.api("POST", "/tasks", {"title": "a", "type": "task", "status": "todo"})
    comment = env.api("POST", "/tasks/task-1/comments", {"content": "这个Bug已修复"}, by="赵六")
    (event,) = env.events("task.commented")
    assert (shown(event)["commentId"], shown(event)["commentContent"]) == (comment["id"], "这个Bug已修复")
    assert shown(event)["commenterName"] == "赵六"
    assert shown(event)["commenterId"]


def test_event_task_reassigned_when_the_assignee_changes(env: SeedEnvironment) -> None:
    env.api("POST", "/members", {"userId": "user-uuid-456", "userName": "张三"})
    env.api("POST", "/tasks", {"title": "a", "type": "task", "status": "todo"})
    env.api("PATCH", "/tasks/task-1", {"assigneeId": "user-uuid-456"}, by="王五")
    (event,) = env.events("task.reassigned")
    assert [shown(event)[v] for v in ("assigneeId", "assigneeName", "updatedBy")] == ["user-uuid-456", "张三", "王五"]


def test_event_task_status_changed_when_the_status_changes(env: SeedEnvironment) -> None:
    env.api("POST", "/tasks", {"title": "a", "type": "task", "status": "todo"})
    env.api("PATCH", "/tasks/task-1", {"status": "blocked"}, by="王五")
    (event,) = env.events("task.status_changed")
    assert (shown(event)["taskStatus"], shown(event)["updatedBy"]) == ("blocked", "王五")


def test_event_task_deleted_when_a_task_is_deleted(env: SeedEnvironment) -> None:
    env.api("POST", "/tasks", {"title": "a", "type": "story", "status": "todo"})
    env.api("DELETE", "/tasks/task-1", by="赵六")
    (event,) = env.events("task.deleted")
    assert (shown(event)["taskId"], shown(event)["taskType"], shown(event)["deletedBy"]) == ("task-1", "story", "赵六")


def conversation(env: SeedEnvironment, agent: dict[str, Any], **spec: Any) -> str:
    """Have an agent fail at a task; the id of its conversation."""
    env.callback("task.created", agent={"kind": "command", **agent}, **spec)
    env.api("POST", "/tasks", {"title": "请帮我分析", "type": "task", "status": "todo"})
    eventually(lambda: env.server.everything(f"/workspaces/{env.id}/runs"), "the run is there")
    return str(env.runs(1)[0]["conversationId"])


def test_event_conversation_error_when_a_conversation_fails(env: SeedEnvironment) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('Error: API调用超时')"]
    session = conversation(env, {"argv": failing})
    (event,) = env.events("conversation.error")
    assert shown(event)["conversationId"] == session
    assert shown(event)["errorMessage"]
    assert "Error: API调用超时" in shown(event)["errorStack"]
    assert shown(event)["retryCount"] == 0


def test_event_conversation_quota_exhausted_when_the_quota_is_spent(env: SeedEnvironment, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"tool": "list_directory", "args": {}}, {"text": "done"}]))
    env.server.api("PATCH", "/settings", {"quota.tokensPerDay": 1})
    try:
        session = conversation(env, {"kind": "built-in", "model": f"scripted:{script}"})
    finally:
        env.server.api("PATCH", "/settings", {"quota.tokensPerDay": None})
    (event,) = env.events("conversation.quota_exhausted")
    assert shown(event)["conversationId"] == session
    assert shown(event)["errorMessage"]
    assert (shown(event)["quotaType"], shown(event)["remaining"]) == ("token", 0)


def test_event_conversation_timeout_when_a_conversation_takes_too_long(env: SeedEnvironment) -> None:
    slow = [sys.executable, "-c", "import time; time.sleep(600)"]
    session = conversation(env, {"argv": slow}, timeoutSeconds=0.2)
    (event,) = env.events("conversation.timeout")
    assert shown(event)["conversationId"] == session
    assert shown(event)["errorMessage"]
    assert shown(event)["duration"] >= 0.2
    assert isinstance(shown(event)["lastMessage"], str)


def test_event_workspace_member_joined_and_left(env: SeedEnvironment) -> None:
    env.api("POST", "/members", {"userId": "user-uuid-def", "userName": "孙七"})
    env.api("DELETE", "/members/user-uuid-def")
    for name in ("workspace.member_joined", "workspace.member_left"):
        (event,) = [one for one in env.events(name) if shown(one)["userId"] == "user-uuid-def"]
        assert shown(event) == {"userId": "user-uuid-def", "userName": "孙七"}


def shown(event: dict[str, Any]) -> dict[str, Any]:
    """An event's own variables."""
    variables: dict[str, Any] = event["variables"]
    return variables


# -- 使用方式 --------------------------------------------------------------------------------------------------------


def test_usage_a_callback_listens_to_several_events(env: SeedEnvironment) -> None:
    """配置监听事件(可多选), 编写 Prompt 模板(支持变量替换), 可选: 配置条件表达式, 保存任务."""
    callback = env.callback("task.created", "task.deleted", prompt="{{eventName}} {{taskTitle}}")
    assert env.verdict(env.send(CREATED)["id"], callback) == ("run", None)
    assert env.verdict(env.send({"eventName": "task.deleted"})["id"], callback) == ("run", None)
    assert env.verdict(env.send(BLOCKED)["id"], callback) == ("stopped", "listening")
    assert env.prompts(2) == ["task.created 修复登录Bug", "task.deleted 修复登录Bug"]


# -- 上下文变量说明 ---------------------------------------------------------------------------------------------------


FULL_WIDTH = str.maketrans("()", "（）")


def test_variables_are_those_of_the_seed_in_its_words_with_its_examples(server: ServerProcess, seed: Seed) -> None:
    # Declared ones are other tests': they run in any order, on the same server.
    built_in = [one for one in server.api("GET", "/event-types")["items"] if not one["declared"]]
    listed = {variable["name"]: variable for one in built_in for variable in one["variables"]}
    assert set(seed.variables) == {v for variables in seed.events.values() for v in variables} | {
        "eventName", "timestamp", "workspaceId", "batch", "batchSize", "events",
    }  # fmt: skip
    for name, row in seed.variables.items():
        if name in ("batch", "batchSize", "events"):
            continue  # carried by merged events only: see the tests of merging
        shown = listed[name]
        assert shown["type"] == row.kind
        description = shown["description"]["zh-CN"]
        text = row.text.translate(FULL_WIDTH)  # the seed has half-width brackets in Chinese text
        assert text.startswith(description), name
        example = text.removeprefix(description)
        # The seed shortens long ids with dots.
        assert str(shown["example"]).startswith(example.removesuffix("...")), name


def test_variables_common_to_all_events(env: SeedEnvironment) -> None:
    """通用变量: eventName, timestamp (ISO), workspaceId."""
    common = "{{eventName}} {{timestamp}} {{workspaceId}}"
    env.callback(*EVENTS, prompt=common)
    for name in EVENTS:
        env.send({"eventName": name, "timestamp": "2026-01-15T09:00:00Z"})
    assert env.prompts(len(EVENTS)) == [f"{name} 2026-01-15T09:00:00Z {env.id}" for name in EVENTS]


def test_variables_of_an_event_without_a_timestamp_have_the_time_of_receipt(env: SeedEnvironment) -> None:
    iso = r"/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(ctx.timestamp) && new Date(ctx.timestamp) <= Date.now()"
    assert env.matches(iso, CREATED)


def test_variables_of_comments_are_in_no_other_task_event(env: SeedEnvironment, seed: Seed) -> None:
    """评论变量适用于 task.commented 事件。其他任务事件不包含评论变量。"""
    comment = [name for name in seed.events["task.commented"] if name.startswith("comment")]
    for event in EVENTS[:6]:
        missing = env.matches(" && ".join(f"ctx.{name} === undefined" for name in comment), {"eventName": event})
        assert missing is (event != "task.commented")


# -- 批量变量 --------------------------------------------------------------------------------------------------------


def merged(env: SeedEnvironment, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send events in one request, so that they fall into one window; their results."""
    batch = [
        {
            "specversion": "1.0", "id": uuid.uuid4().hex, "source": "test", "type": one["eventName"],
            "data": {k: v for k, v in env.event(one).items() if k != "eventName"},
        }
        for one in events
    ]  # fmt: skip
    path = f"/api/v1/workspaces/{env.id}/events"
    status, answer = env.server.request("POST", path, batch, Content_Type="application/cloudevents-batch+json")
    assert status == 202, answer
    results: list[dict[str, Any]] = answer["results"]
    return results


def test_batch_variables_are_carried_by_a_merged_event(env: SeedEnvironment, seed: Seed) -> None:
    kinds = {name: seed.variables[name].kind for name in ("batch", "batchSize", "events")}
    assert kinds == {"batch": "boolean", "batchSize": "number", "events": "string"}
    env.callback(
        "task.created",
        prompt="{{batch}} {{batchSize}} {{events}}",
        condition=" && ".join(f"typeof ctx.{name} === '{kind}'" for name, kind in kinds.items()),
        merge={"enabled": True, "windowMs": 50},
    )
    merged(env, [{**CREATED, "taskId": f"task-{n}"} for n in range(10)])
    (prompt,) = env.prompts(1)
    batch, size, events = prompt.split(" ", 2)
    assert (batch, size) == ("true", "10")
    assert [(one["eventName"], one["taskId"]) for one in json.loads(events)] == [
        ("task.created", f"task-{n}") for n in range(10)
    ]


def test_batch_variables_are_not_carried_by_a_single_event(env: SeedEnvironment) -> None:
    merge = {"enabled": True, "windowMs": 50}
    env.callback("task.created", prompt="[{{batch}}{{batchSize}}{{events}}]", merge=merge)
    env.send(CREATED)
    assert env.prompts(1) == ["[]"]


# -- Prompt 模板变量 --------------------------------------------------------------------------------------------------


def test_template_example(env: SeedEnvironment, seed: Seed) -> None:
    """The seed's prompt word for word, and a task that somebody makes in the workspace."""
    env.callback("task.created", prompt=seed.prompt, fence="auto")
    env.api("POST", "/members", {"userId": "lisi", "userName": "李四"})
    env.api("POST", "/tasks", {"title": "修复登录Bug", "type": "bug", "status": "todo"}, by="lisi")
    expected = seed.prompt
    for name, value in (("taskTitle", "修复登录Bug"), ("taskStatus", "todo"), ("createdBy", "李四")):
        expected = expected.replace(f"{{{{{name}}}}}", value)
    assert env.prompts(1) == [expected]


def test_template_example_is_carried_out_by_an_agent(env: SeedEnvironment, seed: Seed, tmp_path: Path) -> None:
    """请自动分析任务优先级并添加标签: an agent can read the task and label it (here one that follows a script)."""
    script = tmp_path / "script.json"
    labelled = {"tool": "update_task", "args": {"task_id": "task-1", "labels": ["P1"]}}
    script.write_text(json.dumps([{"tool": "get_task", "args": {"task_id": "task-1"}}, labelled, {"text": "P1"}]))
    env.callback("task.created", prompt=seed.prompt, agent={"kind": "built-in", "model": f"scripted:{script}"})
    env.api("POST", "/tasks", {"title": "修复登录Bug", "type": "bug", "status": "todo"}, by="李四")
    (run,) = env.runs(1)
    assert (run["status"], run["error"]) == ("succeeded", None)
    assert env.api("GET", "/tasks/task-1")["labels"] == ["P1"]


# -- 条件表达式 ------------------------------------------------------------------------------------------------------


def test_condition_blocked(env: SeedEnvironment, seed: Seed) -> None:
    """仅 blocked 状态触发."""
    condition = seed.conditions["仅 blocked 状态触发"]
    assert env.matches(condition, BLOCKED)
    assert not env.matches(condition, {**BLOCKED, "taskStatus": "todo"})


def test_condition_title_includes_urgent(env: SeedEnvironment, seed: Seed) -> None:
    """标题包含"紧急"时触发."""
    condition = seed.conditions['标题包含"紧急"时触发']
    assert env.matches(condition, {**CREATED, "taskTitle": "【紧急】修复登录Bug"})
    assert not env.matches(condition, CREATED)


def test_condition_compound(env: SeedEnvironment, seed: Seed) -> None:
    """复合条件: of an event that carries both. No built-in one does, and saving says so."""
    condition = seed.conditions["复合条件"]
    name = f"build{uuid.uuid4().hex[:8]}.stopped"
    variables = [
        {"name": "taskStatus", "type": "string", "example": "blocked"},
        {"name": "retryCount", "type": "number", "example": 0},
    ]
    env.server.api("POST", "/event-types", {"name": name, "variables": variables})
    both = SeedEnvironment(env.server, seed)  # which knows the new type
    sent = {"eventName": name, "taskStatus": "blocked", "retryCount": 2}
    assert both.matches(condition, sent)
    assert not both.matches(condition, {**sent, "retryCount": 3})
    assert not both.matches(condition, {**sent, "taskStatus": "todo"})
    assert not env.matches(condition, BLOCKED)
    checked = env.api("POST", "/callbacks/check", {
        "events": ["task.status_changed", "conversation.error"], "prompt": "x", "condition": condition,
    })  # fmt: skip
    (problem,) = checked["problems"]
    assert (problem["severity"], problem["field"]) == ("warning", "condition")


def test_condition_several_states(env: SeedEnvironment, seed: Seed) -> None:
    """多状态匹配."""
    condition = seed.conditions["多状态匹配"]
    assert env.matches(condition, BLOCKED)
    assert env.matches(condition, {**BLOCKED, "taskStatus": "waiting"})
    assert not env.matches(condition, {**BLOCKED, "taskStatus": "todo"})


def test_condition_examples_with_their_comments_as_a_reader_copies_them(env: SeedEnvironment, seed: Seed) -> None:
    for comment, condition in seed.conditions.items():
        event = {**BLOCKED, "taskTitle": "紧急"}
        assert env.matches(f"// {comment}\n{condition}", event) is (comment != "复合条件")


def test_condition_left_empty_lets_every_event_through(env: SeedEnvironment) -> None:
    """留空表示所有匹配事件都触发."""
    callback = env.callback(*EVENTS, condition="")
    for name in EVENTS:
        assert env.verdict(env.send({"eventName": name})["id"], callback) == ("run", None)


# -- 高级特性 --------------------------------------------------------------------------------------------------------


def test_operation_example_one_change_two_events_one_run(env: SeedEnvironment) -> None:
    """修改任务状态: task.updated + task.status_changed share one operationId, and a callback runs once, not twice."""
    env.callback("task.updated", "task.status_changed")
    env.api("POST", "/tasks", {"title": "a", "type": "task", "status": "todo"})
    env.api("PATCH", "/tasks/task-1", {"status": "blocked"})
    (updated,), (changed,) = env.events("task.updated"), env.events("task.status_changed")
    assert updated["operationId"] == changed["operationId"] is not None
    outcomes = Counter(one["callbacks"][0]["gate"] for one in trace_of(env, updated, changed))
    assert outcomes == {None: 1, "operation": 1}
    env.runs(1)


def test_operation_each_callback_runs_once(env: SeedEnvironment) -> None:
    """确保每个回调任务只执行一次: of two callbacks on both events each runs once a change."""
    for _ in range(2):
        env.callback("task.updated", "task.status_changed")
    env.api("POST", "/tasks", {"title": "a", "type": "task", "status": "todo"})
    env.api("PATCH", "/tasks/task-1", {"status": "blocked"})
    env.runs(2)
    env.api("PATCH", "/tasks/task-1", {"status": "todo"})
    assert set(Counter(run["callbackId"] for run in env.runs(4)).values()) == {2}


def trace_of(env: SeedEnvironment, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """Events with the verdicts on them."""
    return [env.api("GET", f"/events/{event['id']}") for event in events]


def test_dedupe_a_repeated_event_starts_nothing(env: SeedEnvironment) -> None:
    """系统自动对短时间内的重复事件进行去重; the window made longer than any machine is slow."""
    env.callback("task.created")
    with set_to(env.server, dedupWindowMs=600_000):
        first = env.send(CREATED)
        again = env.send(CREATED)
    assert again == {"id": first["id"], "duplicateOf": first["id"]}
    env.runs(1)


def test_dedupe_ends_with_its_window(env: SeedEnvironment) -> None:
    with set_to(env.server, dedupWindowMs=200):
        first = env.send(CREATED)
        # It does not slide, or asking again and again would keep it open.
        eventually(lambda: "duplicateOf" not in env.send(CREATED), "it is an event of its own again")
    assert env.events("task.created")[0]["id"] == first["id"]


def test_dedupe_switched_off(env: SeedEnvironment) -> None:
    env.callback("task.created")
    with set_to(env.server, dedupEnabled=False):
        assert env.send(CREATED)["id"] != env.send(CREATED)["id"]
    env.runs(2)


def test_merging_is_off_unless_it_is_switched_on(env: SeedEnvironment) -> None:
    env.callback("task.created")
    assert not any("batchId" in one for one in merged(env, [{**CREATED, "taskTitle": str(n)} for n in range(3)]))
    env.runs(3)


def test_merging_hands_many_events_of_one_type_to_one_run(env: SeedEnvironment) -> None:
    """当短时间内产生大量相同类型事件时,系统会在时间窗口内合并事件,一次性传递给 Agent 处理."""
    env.callback("task.created", "task.deleted", prompt="{{eventName}} {{batchSize}}")
    events = [{"eventName": name, "taskId": f"t-{n}"} for name in ("task.created", "task.deleted") for n in range(20)]
    with set_to(env.server, mergeEnabled=True, mergeWindowMs=100):
        results = merged(env, events)
    assert len({one["batchId"] for one in results}) == 2, "only events of one type are merged"
    assert sorted(env.prompts(2)) == ["task.created 20", "task.deleted 20"]


def test_queue_limits_how_many_run_at_once(env: SeedEnvironment, tmp_path: Path) -> None:
    """系统限制并发执行的事件回调数量; the others wait, and none is dropped."""
    gate = tmp_path / "gate"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    env.callback("task.created", agent={"kind": "command", "argv": [sys.executable, "-c", waits]})

    def states() -> Counter[str]:
        return Counter(run["status"] for run in env.server.everything(f"/workspaces/{env.id}/runs"))

    with set_to(env.server, maxQueueSize=2):
        for number in range(5):
            env.send({**CREATED, "taskId": f"t-{number}"})
        eventually(lambda: states()["running"] == 2, "two are executing")
        assert states() == {"running": 2, "queued": 3}
        gate.touch()
        runs = env.runs(5)
    begun = sorted((run["startedAt"], 1) for run in runs)
    ended = sorted((run["finishedAt"], -1) for run in runs)
    assert [run["status"] for run in runs] == ["succeeded"] * 5
    assert peak(begun + ended) <= 2


def peak(steps: list[tuple[str, int]]) -> int:
    """The most that were under way at one moment; at the same moment one ends before another begins."""
    highest = now = 0
    for _, step in sorted(steps):
        now += step
        highest = max(highest, now)
    return highest


# -- 配置参数 --------------------------------------------------------------------------------------------------------


def test_settings_have_the_defaults_of_the_seed(server: ServerProcess, seed: Seed) -> None:
    assert len(seed.settings) == 5
    details = {one["name"]: one for one in server.api("GET", "/settings/details")["items"]}
    assert {name: details[name]["default"] for name in seed.settings} == seed.settings
    values = server.api("GET", "/settings")
    assert {name: values[name] for name in seed.settings} == seed.settings


def test_settings_are_managed_at_run_time(server: ServerProcess, seed: Seed) -> None:
    """以下参数可通过系统配置管理."""
    others = {name: not value if isinstance(value, bool) else 77 for name, value in seed.settings.items()}
    try:
        assert others.items() <= server.api("PATCH", "/settings", others).items()
    finally:
        back = server.api("PATCH", "/settings", dict.fromkeys(others))
    assert seed.settings.items() <= back.items()


# -- 常见问题 --------------------------------------------------------------------------------------------------------


def test_faq_events_of_another_workspace_start_nothing(env: SeedEnvironment, server: ServerProcess, seed: Seed) -> None:
    """Q:跨工作空间的事件会触发回调任务吗? A:不会."""
    other = SeedEnvironment(server, seed)
    here, there = env.callback("task.created"), other.callback("task.created")
    other.api("POST", "/tasks", {"title": "a", "type": "task", "status": "todo"})
    other.send({**CREATED, "taskTitle": "b"})
    assert {run["callbackId"] for run in other.runs(2)} == {there}
    assert server.everything(f"/workspaces/{env.id}/runs") == []
    assert env.events("task.created") == []
    assert env.verdict(env.send(CREATED)["id"], here) == ("run", None)


@pytest.mark.parametrize("name", EVENTS)
def test_faq_every_event_carries_its_workspace(env: SeedEnvironment, name: str) -> None:
    """每个事件都携带 workspaceId, which nobody can make another's."""
    event = env.event({"eventName": name})
    assert env.matches(f"ctx.workspaceId === '{env.id}'", {**event, "workspaceId": env.id})
    path = f"/api/v1/workspaces/{env.id}/events"
    status, answer = env.server.request("POST", path, {**event, "workspaceId": "another"})
    assert status == 422
    assert [problem["field"] for problem in answer["problems"]] == ["workspaceId"]
