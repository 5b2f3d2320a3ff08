"""Sample data, as large as asked: what the tests of the pages, their benchmark and the pictures of the gallery look at.

Rows are written straight into an empty database; nothing of it passes the product's own path. The pictures of the
documentation come from the running product instead (`scripts/screenshots.py`).
"""

# ruff: noqa: E501
from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert

from hookyard.core.ids import Ids
from hookyard.store import schema

DAY = 86_400.0

PEOPLE = {
    "en": ["Wang Wu", "Zhang San", "Li Si", "Zhao Liu", "Sun Qi"],
    "zh-CN": ["王五", "张三", "李四", "赵六", "孙七"],
}
TITLES = {
    "en": [
        "Payment callback times out intermittently", "Refund webhook answers 409 on retry", "White screen on the checkout page",
        "Rotate the signing key of the settlement job", "Duplicate ledger rows after a fail-over", "Export of invoices as CSV",
        "Slow query on the orders list", "Upgrade the TLS library", "Document the retry policy", "Alert when the pool is exhausted",
        "Move cron jobs to the scheduler", "Currency rounding in JPY", "Remove the old login page", "Cache exchange rates",
    ],
    "zh-CN": [
        "支付回调偶发超时", "退款通知重试时返回 409", "支付页白屏，紧急", "轮换结算任务的签名密钥", "主备切换后账本出现重复行",
        "发票导出为 CSV", "订单列表查询缓慢", "升级 TLS 库", "补充重试策略文档", "连接池耗尽时告警",
        "定时任务迁移到调度器", "日元金额取整错误", "下线旧登录页", "缓存汇率",
    ],
}  # fmt: skip
CALLBACKS: list[tuple[str, str, list[str], str, str]] = [
    ("Blocked-task triage", "阻塞任务分诊", ["task.updated", "task.status_changed"], "ctx.taskStatus === 'blocked'", "claude-code"),
    ("Comment answers", "评论答疑", ["task.commented"], "ctx.commentContent.includes('@agent')", "codex"),
    ("Urgent bug grading", "紧急缺陷定级", ["task.created"], "/urgent|紧急/i.test(ctx.taskTitle)", "built-in"),
    ("Failure review", "对话失败复盘", ["conversation.error"], "ctx.retryCount >= 2", "claude-code"),
    ("Hand-over notes", "负责人变更交接", ["task.reassigned"], "", "built-in"),
    ("Change digest", "变更摘要", ["task.updated"], "JSON.parse(ctx.changes).status?.startsWith('review')", "claude-code"),
    ("Quota alarm", "额度用尽告警", ["conversation.quota_exhausted"], "ctx.quotaType === 'token' && ctx.remaining <= 0", "http"),
    ("Resume timed-out talks", "超时对话续跑", ["conversation.timeout", "conversation.error"], "ctx.duration > 300", "dry-run"),
    ("New-member guide", "新成员引导", ["workspace.member_joined"], "", "codex"),
    ("Deleted-task archive", "删除任务归档", ["task.deleted"], "['bug', 'story'].includes(ctx.taskType)", "command"),
]  # fmt: skip
PROMPTS = {
    "en": "Task {{taskId}} was marked {{taskStatus}} by {{updatedBy}}.\nTitle: {{taskTitle}}\nChange: {{changes}}\n\n"
    "Find out why it is blocked, write your finding as a comment on the task and propose the next step.\n"
    "Do not change production.",
    "zh-CN": "任务 {{taskId}} 被 {{updatedBy}} 标记为 {{taskStatus}}。\n标题：{{taskTitle}}\n变更：{{changes}}\n\n"
    "请查明阻塞原因，把结论写成任务评论，并给出下一步。\n不要改动生产环境。",
}
STATUSES = ["todo", "todo", "in_progress", "blocked", "waiting", "review", "done"]
OUTCOMES = ["succeeded"] * 40 + ["failed", "failed", "timed_out", "cancelled", "skipped"]
WEBHOOKS: list[dict[str, Any]] = [
    {"name": "security-gate", "trigger": "pre_tool", "url": "https://gate.corp.example/v1/judge", "on_failure": "deny"},
    {"name": "freeze-window", "trigger": "pre_tool", "url": "https://ops.corp.example/freeze", "on_failure": "deny"},
    {"name": "dingtalk-notify", "trigger": "turn_complete", "url": "https://oapi.dingtalk.com/robot/send", "format": "dingtalk"},
    {"name": "audit-log", "trigger": "*", "url": "https://log.corp.example/hookyard", "mode": "background"},
    {"name": "wecom-oncall", "trigger": "error", "url": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send", "format": "wecom"},
]  # fmt: skip


AGENTS: dict[str, dict[str, Any]] = {
    "claude-code": {"kind": "claude-code"},
    "codex": {"kind": "codex"},
    "built-in": {"kind": "built-in", "model": "anthropic:claude-sonnet-4-5"},
    "command": {"kind": "command", "argv": ["cat"]},
    "http": {"kind": "http", "url": "https://agent.corp.example/run"},
    "dry-run": {"kind": "dry-run"},
}
"""Agent profiles, for `agents.profile_store`."""


@dataclass
class Sample:
    """How much, and of what.

    Attributes:
        now: Seconds since the epoch that the data ends at.
        language: Of titles and names.
        workspace: The workspace's id.
        tasks: How many.
        events: How many.
        runs: How many; the newest two execute.
        deliveries: How many.
        seed: Of the randomness.
        bare: People and tasks only.
    """

    now: float
    language: str = "en"
    workspace: str = "payments"
    tasks: int = 68
    events: int = 400
    runs: int = 160
    deliveries: int = 160
    seed: int = 7
    bare: bool = False
    callback_ids: list[str] = field(default_factory=list)
    task_rows: list[dict[str, Any]] = field(default_factory=list)
    event_rows: list[dict[str, Any]] = field(default_factory=list)
    run_rows: list[dict[str, Any]] = field(default_factory=list)
    user_ids: list[str] = field(default_factory=list)

    def fill(self, conn: Connection) -> None:
        """Write everything."""
        chance = random.Random(self.seed)
        self._people(conn)
        self._tasks(conn, chance)
        if self.bare:
            return
        self._callbacks(conn)
        self._events(conn, chance)
        self._runs(conn, chance)
        self._timeline(conn)
        self._deliveries(conn, chance)

    def _id(self, kind: str, at: float, chance: random.Random | None = None) -> str:
        class At:
            def now(self) -> float:
                return at

            def monotonic(self) -> float:
                return at

        return str(getattr(Ids(At(), (chance or random.Random(f"{self.workspace}{at}")).getrandbits), kind)())

    def _put(self, conn: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(rows), 2000):
            conn.execute(insert(table), list(rows[start : start + 2000]))

    def _people(self, conn: Connection) -> None:
        then = self.now - 30 * DAY
        name = "Payments" if self.language == "en" else "支付平台"
        self._put(
            conn,
            schema.workspaces,
            [{"id": self.workspace, "name": name, "created_at": then, "next_task": self.tasks + 1, "revision": 1}],
        )
        for index, person in enumerate(PEOPLE[self.language]):
            user = f"usr_{self.workspace}_{index}"
            self.user_ids.append(user)
            row = {
                "id": user,
                "login": f"{self.workspace}{index}",
                "name": person,
                "is_admin": False,
                "created_at": then,
            }
            self._put(conn, schema.users, [row])
            member = {"workspace_id": self.workspace, "user_id": user, "user_name": person, "joined_at": then}
            self._put(conn, schema.members, [member])

    def _callbacks(self, conn: Connection) -> None:
        people = PEOPLE[self.language]
        for index, (en, zh, events, condition, agent) in enumerate(CALLBACKS):
            made = self.now - (20 - index) * DAY
            key = self._id("callback", made)
            self.callback_ids.append(key)
            enabled = index != 9
            spec = {
                "name": en if self.language == "en" else zh, "enabled": enabled, "events": events, "agent": agent,
                "prompt": _prompt(self.language, index), "condition": condition,
                "timeoutSeconds": 900 if index < 2 else None,
            }  # fmt: skip
            versions = 7 if index == 0 else 1 + index % 4
            broken = {
                "at": self.now - 3 * 3600,
                "event": "",
                "message": "TypeError: cannot read property 'status' of undefined",
            }
            row = {
                "id": key, "workspace_id": self.workspace, "name": spec["name"], "enabled": enabled, "version": versions,
                "spec": json.dumps(spec), "created_by": people[0], "created_at": made, "updated_at": made + 3600,
                "condition_error": json.dumps(broken) if index == 5 else None,
            }  # fmt: skip
            self._put(conn, schema.callbacks, [row])
            for version in range(1, versions + 1):
                older = spec if version == versions else spec | {"condition": f"{condition or 'true'} && {version} > 0"}
                row = {
                    "callback_id": key, "version": version, "workspace_id": self.workspace, "spec": json.dumps(older),
                    "author": people[version % 5], "created_at": made + version * 3600,
                }  # fmt: skip
                self._put(conn, schema.callback_versions, [row])
        listeners = json.dumps([[key, 7 if n == 0 else 1 + n % 4] for n, key in enumerate(self.callback_ids[:6])])
        row = {
            "id": f"set-{self.workspace}",
            "workspace_id": self.workspace,
            "listeners": listeners,
            "created_at": self.now - DAY,
        }
        self._put(conn, schema.listener_sets, [row])

    def _tasks(self, conn: Connection, chance: random.Random) -> None:
        titles, people = TITLES[self.language], PEOPLE[self.language]
        labels = ["bank-b", "ledger", "infra", "urgent"]
        comments = []
        for number in range(1, self.tasks + 1):
            changed = self.now - (self.tasks - number) * 20 * DAY / self.tasks - chance.random() * 600
            who = chance.randrange(5)
            row = {
                "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)), "workspace_id": self.workspace,
                "task_id": f"task-{number}", "type": chance.choice(["task", "bug", "bug", "story"]),
                "title": titles[number % len(titles)], "description": titles[(number + 3) % len(titles)] + ".\n" if number % 3 else "",
                "status": chance.choice(STATUSES), "assignee_id": self.user_ids[who] if number % 4 else None,
                "assignee_name": people[who] if number % 4 else None,
                "labels": json.dumps(chance.sample(labels, chance.randrange(3))), "created_by": chance.choice(people),
                "created_at": changed - DAY, "updated_at": changed,
            }  # fmt: skip
            self.task_rows.append(row)
            comments += [
                {
                    "id": self._id("comment", changed - n, chance), "workspace_id": self.workspace, "task_db_id": row["id"],
                    "author_id": self.user_ids[n], "author_name": people[n], "author_trust": "member",
                    "content": titles[(number + n) % len(titles)], "created_at": changed - 60 * n,
                }
                for n in range(number % 3)
            ]  # fmt: skip
        self._put(conn, schema.tasks, self.task_rows)
        self._put(conn, schema.comments, comments)

    def _events(self, conn: Connection, chance: random.Random) -> None:
        people = PEOPLE[self.language]
        names = [
            "task.updated",
            "task.status_changed",
            "task.commented",
            "task.created",
            "task.reassigned",
            "conversation.error",
        ]
        for number in range(self.events):
            at = self.now - (self.events - number) ** 1.15 * 86_400 / max(1, self.events) ** 1.15 - 4 + chance.random()
            task, name = chance.choice(self.task_rows[-40:]), chance.choice(names[: 5 if number % 9 else 6])
            variables: dict[str, Any] = {
                "taskId": task["task_id"], "taskDBId": task["id"], "taskType": task["type"], "taskTitle": task["title"],
            }  # fmt: skip
            if name == "conversation.error":
                variables = {
                    "conversationId": "conv-1",
                    "errorMessage": "output limit",
                    "errorStack": "",
                    "retryCount": 2,
                }
            elif name == "task.commented":
                variables |= {
                    "commentId": "c",
                    "commentContent": "@agent?",
                    "commenterId": "u",
                    "commenterName": people[1],
                }
            elif name == "task.reassigned":
                variables |= {"assigneeId": self.user_ids[0], "assigneeName": people[0], "updatedBy": people[1]}
            else:
                variables |= {
                    "taskStatus": "blocked",
                    "createdBy" if name == "task.created" else "updatedBy": people[number % 5],
                }
            if name == "task.updated":
                variables["changes"] = json.dumps({"status": "blocked"})
            self.event_rows.append(
                {
                    "id": self._id("event", at, chance), "workspace_id": self.workspace, "name": name, "source": "workspace",
                    "operation_id": f"op_{number // 2:06d}", "occurred_at": at, "received_at": at + 0.002,
                    "variables": json.dumps(variables, ensure_ascii=False), "subject": variables.get("taskId", "conv-1"),
                    "author_trust": "member", "listener_set": f"set-{self.workspace}", "verdicts": chance.choice(["qcdeca", "qolccc", "cccccc", "mcdcqc"]),
                    "duplicates": 2 if number % 17 == 0 else 0,
                }
            )  # fmt: skip

    def _runs(self, conn: Connection, chance: random.Random) -> None:
        attempts = []
        for number in range(self.runs):
            event = self.event_rows[number * len(self.event_rows) // self.runs]
            alive = number >= self.runs - 2
            heard = [n for n, one in enumerate(CALLBACKS[:7]) if event["name"] in one[2]]
            index = chance.choice(heard)
            # What the gates said agrees with the run that there is.
            others = str(event["verdicts"]).replace("q", "c").replace("m", "o")
            event["verdicts"] = others[:index] + "q" + others[index + 1 :]
            status = (
                "running" if alive else ("failed" if index == 3 and chance.random() < 0.7 else chance.choice(OUTCOMES))
            )
            queued = event["received_at"] + 0.01
            started = None if status == "skipped" else queued + chance.random() * 1.4
            took = chance.expovariate(1 / 70) + 2
            row = {
                "id": self._id("run", queued, chance), "workspace_id": self.workspace, "callback_id": self.callback_ids[index],
                "callback_version": 7 if index == 0 else 1 + index % 4, "event_id": event["id"], "conversation_id": self._id("conversation", queued, chance),
                "status": status, "prompt": _filled(self.language, index, event), "context": event["variables"], "agent": CALLBACKS[index][4],
                "reason": {"failed": "the run's 40000 tokens are spent", "skipped": "the callback was disabled before the run started", "timed_out": "the run took longer than 900 s and was ended"}.get(status),
                "timeout_seconds": 900.0, "subject": event["subject"], "queued_at": queued, "started_at": started,
                "finished_at": None if alive or started is None else min(self.now, started + took), "attempt": 1, "worker_id": "wrk_1",
                "input_tokens": chance.randrange(2000, 40_000), "output_tokens": chance.randrange(100, 4000),
                "tool_calls": chance.randrange(9), "denied": int(number % 23 == 0), "modified": int(number % 17 == 0),
                "cost_usd": round(chance.random() / 5, 4), "reserved_tokens": 0, "snippet": None if not alive else "search_files",
            }  # fmt: skip
            self.run_rows.append(row)
            attempts.append(
                {
                    "run_id": row["id"], "number": 1, "worker_id": "wrk_1", "started_at": started or queued,
                    "finished_at": row["finished_at"], "outcome": None if alive else status,
                }
            )  # fmt: skip
        self._put(conn, schema.events, self.event_rows)
        self._put(conn, schema.runs, self.run_rows)
        self._put(conn, schema.attempts, attempts)

    @property
    def story(self) -> dict[str, Any]:
        """The run with a whole timeline."""
        return next(
            row
            for row in reversed(self.run_rows)
            if row["status"] == "succeeded" and row["callback_id"] == self.callback_ids[0]
        )

    def _timeline(self, conn: Connection) -> None:
        run = self.story
        entries = [
            {"run_id": run["id"], "seq": seq, "attempt": 1, "at": run["started_at"] + offset, "kind": kind, "data": json.dumps(data, ensure_ascii=False)}
            for seq, (offset, kind, data) in enumerate(_story(self.language, run))
        ]  # fmt: skip
        self._put(conn, schema.run_entries, entries)
        conn.execute(
            schema.attempts.update()
            .where(schema.attempts.c.run_id == run["id"])
            .values(agent_kind="claude-code", agent_version="2.1.4", model="claude-sonnet-4-5", folder="/srv/repos/pay-callback")
        )  # fmt: skip
        answer = entries and json.loads(entries[-1]["data"])["text"]
        conn.execute(
            schema.runs.update()
            .where(schema.runs.c.id == run["id"])
            .values(answer=answer, denied=1, modified=1, tool_calls=4)
        )
        alive = self.run_rows[-1]
        for seq, (offset, kind, data) in enumerate(list(_story(self.language, alive))[:5]):
            row = {
                "run_id": alive["id"],
                "seq": seq,
                "attempt": 1,
                "at": alive["started_at"] + offset,
                "kind": kind,
                "data": json.dumps(data, ensure_ascii=False),
            }
            self._put(conn, schema.run_entries, [row])

    def _deliveries(self, conn: Connection, chance: random.Random) -> None:
        rows = []
        for number in range(self.deliveries):
            at = self.now - (self.deliveries - number) * 700
            index = number % 5
            hook = WEBHOOKS[index]
            result = chance.choice(["ok"] * 12 + ["modify", "deny", "warning"]) if index < 2 else "ok"
            failed = (index == 4 and number > self.deliveries * 0.7) or chance.random() < 0.02
            tool = chance.choice(["bash", "read_file", "search_files", "write_file", "comment_task", "get_task"])
            run = self.run_rows[-3 - number % 20]
            tries: list[dict[str, Any]] = [
                {
                    "number": 1,
                    "at": at,
                    "duration_ms": 132.0,
                    "status": 503,
                    "error": "HTTP 503",
                    "answer": "upstream is away",
                }
            ]
            if not failed:
                answer = json.dumps(
                    {
                        "result": result,
                        "message": "log reads are limited to one hour and 1 MB",
                        "modified_content": {"command": "kubectl logs deploy/refund --since=1h --limit-bytes=1000000"},
                    }
                    if result == "modify"
                    else {"result": result}
                )
                good: dict[str, Any] = {
                    "number": 2 if result == "modify" else 1,
                    "at": at + (0.236 if result == "modify" else 0),
                    "duration_ms": 41.0,
                    "status": 200,
                    "error": None,
                    "answer": answer,
                }
                tries = [*tries, good] if result == "modify" else [good]
            request = {
                "hook_name": hook["name"], "trigger": hook["trigger"], "event": "pre_tool_execution", "agent": "claude-code",
                "hook_context": {"tool_name": tool, "tool_args": "{\"command\":\"kubectl logs deploy/refund --since=24h\"}", "session_id": run["conversation_id"], "turn_number": 3},
            }  # fmt: skip
            key = self._id("delivery", at, chance)
            state = "failed" if failed else "delivered"
            details = {
                "id": key, "webhook": hook["name"], "event": "pre_tool_execution", "format": hook.get("format", "hookyard"), "url": hook["url"],
                "request": json.dumps(request), "created_at": at, "state": state, "attempts": tries, "result": None if failed else result,
                "message": "HTTP 503" if failed else "", "session_id": "", "run_id": run["id"], "workspace_id": self.workspace,
            }  # fmt: skip
            rows.append(
                {
                    "id": key, "workspace_id": self.workspace, "webhook": hook["name"], "event": "pre_tool_execution", "run_id": run["id"],
                    "state": state, "result": None if failed else result, "created_at": at, "duration_ms": 277.0 if len(tries) > 1 else 41.0,
                    "details": json.dumps(details),
                }
            )  # fmt: skip
        self._put(conn, schema.deliveries, rows)


def _verdict(
    webhook: str, result: str, message: str = "", before: str | None = None, after: str | None = None
) -> dict[str, Any]:
    return {
        "webhook": webhook, "result": result, "message": message, "deliveryId": "", "attempts": 1, "durationMs": 41.0 if before else 9.0,
        "failed": False, "before": before, "after": after,
    }  # fmt: skip


def _prompt(language: str, index: int) -> str:
    return PROMPTS[language] if index == 0 else f"{{{{eventName}}}}: {CALLBACKS[index][language != 'en']}"


def _filled(language: str, index: int, event: dict[str, Any]) -> str:
    variables = {**json.loads(event["variables"]), "eventName": event["name"]}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: str(variables.get(found[1], "")), _prompt(language, index))


def _story(language: str, run: dict[str, Any]) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """What happened in a run: seconds after its start, kind and data of each entry."""
    totals = {
        3.15: (1, 1204, 96),
        9.5: (2, 3020, 214),
        41.0: (3, 8610, 640),
        51.5: (4, 14_420, 812),
        105.5: (5, 20_180, 1630),
    }
    told = _told(language, json.loads(run["context"]).get("taskId", "task-12"), run["prompt"])
    usage = [
        (at, "usage", {"turn": turn, "inputTokens": sent, "outputTokens": made})
        for at, (turn, sent, made) in totals.items()
    ]
    yield from sorted((*told, *usage), key=lambda entry: entry[0])


def _told(language: str, task: str, prompt: str) -> Iterator[tuple[float, str, dict[str, Any]]]:
    zh = language != "en"
    gate, freeze = "security-gate", "freeze-window"
    both = [_verdict(gate, "ok"), _verdict(freeze, "ok")]
    yield (
        0.0,
        "message",
        {
            "role": "user",
            "text": prompt,
        },
    )
    yield (
        3.1,
        "message",
        {
            "role": "assistant",
            "text": "我先读任务和评论，再看回调服务的日志。"
            if zh
            else "I’ll read the task and its comments first, then the logs of the callback service.",
        },
    )
    yield 3.2, "tool_call", {"callId": "a", "name": "get_task", "args": json.dumps({"taskId": task})}
    yield (
        3.21,
        "decision",
        {"point": "pre_tool", "callId": "a", "result": "ok", "message": "", "content": None, "verdicts": both},
    )
    yield (
        3.24,
        "tool_result",
        {
            "callId": "a",
            "result": "blocked, 6 comments. Last: “Bank B says they receive our 200 after 30 s” (Zhang San)",
            "success": True,
            "durationMs": 38.0,
            "ran": True,
        },
    )
    yield (
        9.8,
        "tool_call",
        {"callId": "b", "name": "bash", "args": '{"command": "kubectl logs deploy/pay-callback --since=24h"}'},
    )
    yield (
        9.9,
        "decision",
        {
            "point": "pre_tool",
            "callId": "b",
            "result": "modify",
            "message": "",
            "content": '{"command": "kubectl logs deploy/pay-callback --since=1h --limit-bytes=1000000"}',
            "verdicts": [
                _verdict(
                    gate,
                    "modify",
                    "日志读取限 1 小时、1 MB" if zh else "log reads are limited to one hour and 1 MB",
                    '{"command": "kubectl logs deploy/pay-callback --since=24h"}',
                    '{"command": "kubectl logs deploy/pay-callback --since=1h --limit-bytes=1000000"}',
                ),
                _verdict(freeze, "ok"),
            ],
        },
    )
    log = "\n".join(
        f"09:4{n % 10}:{n % 60:02d} WARN  upstream timed out (110) bank-b {30_000 + n} ms" for n in range(240)
    )
    yield 12.8, "tool_result", {"callId": "b", "result": log, "success": True, "durationMs": 2900.0, "ran": True}
    yield (
        41.5,
        "tool_call",
        {"callId": "c", "name": "bash", "args": '{"command": "kubectl rollout restart deploy/pay-callback"}'},
    )
    yield (
        41.6,
        "decision",
        {
            "point": "pre_tool",
            "callId": "c",
            "result": "deny",
            "message": "frozen",
            "content": None,
            "verdicts": [
                _verdict(
                    freeze,
                    "deny",
                    "生产冻结至周一 08:00,请改提变更申请"
                    if zh
                    else "production is frozen until Mon 08:00; open a change request instead",
                )
            ],
        },
    )
    yield 41.6, "tool_result", {"callId": "c", "result": "denied", "success": False, "durationMs": 0.0, "ran": False}
    yield (
        52.0,
        "message",
        {
            "role": "assistant",
            "text": "冻结期内不能重启，而且重启只会掩盖原因。我不动 Pod,把发现写下来。"
            if zh
            else "A restart isn’t allowed during the freeze, and it would only hide the cause. I’ll leave the pods alone and report what I found.",
        },
    )
    yield (
        91.0,
        "tool_call",
        {
            "callId": "d",
            "name": "comment_task",
            "args": json.dumps(
                {
                    "taskId": task,
                    "content": "Cause: the bank-b pool has 8 slots and Bank B now answers in about 30 s.",
                }
            ),
        },
    )
    yield (
        91.1,
        "decision",
        {"point": "pre_tool", "callId": "d", "result": "ok", "message": "", "content": None, "verdicts": both},
    )
    yield (
        91.2,
        "tool_result",
        {"callId": "d", "result": f"Comment added to {task}", "success": True, "durationMs": 52.0, "ran": True},
    )
    answer_en = "Callbacks time out because the `bank-b` connection pool has 8 slots and Bank B now answers in about 30 s.\n\n1. Raise the pool from 8 to 32 in `config/pools.yaml` after the freeze.\n2. Answer Bank B before the ledger write, so that a slow bank cannot hold a slot.\n\nNo production change was made."
    answer_zh = "回调超时是因为 `bank-b` 连接池只有 8 个位置，而 B 银行现在约 30 秒才应答。\n\n1. 冻结结束后把 `config/pools.yaml` 里的连接池从 8 调到 32。\n2. 先应答 B 银行再写账本，慢银行就不会占住位置。\n\n没有改动生产环境。"
    yield 106.0, "message", {"role": "assistant", "text": answer_zh if zh else answer_en}
