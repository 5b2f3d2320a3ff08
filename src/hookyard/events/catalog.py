"""Every event that can happen and every variable it carries: one table.

Derived from it: the checks of incoming events (`envelope`), the check of prompt templates and conditions
(`callbacks.template`, `conditions.conditions`), `GET /event-types`, the tables of the documentation and test data.
Administrators' own event types join the built-in ones in a `Catalog`, which never changes once it is made.

Source of names, types and examples: the seed's tables, repeated in the contract for event callbacks, section 1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from hookyard.core.errors import InvalidError, Problem

Value = str | int | float | bool
"""What a variable can hold."""

LARGEST_INTEGER = 2**53 - 1
"""Whole numbers beyond this lose digits in JavaScript (ECMA-262, Number.MAX_SAFE_INTEGER)."""

MAX_NAME = 100
"""Characters of the name of an event type or a variable."""

MAX_VARIABLES = 100
"""Variables of one declared event type."""

_EVENT_NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class VariableType(StrEnum):
    """The type of a variable, by its JavaScript name."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"

    def holds(self, value: object) -> bool:
        """Return whether a value, as `json` gives it, is of this type."""
        match self:
            case VariableType.STRING:
                return isinstance(value, str)
            case VariableType.BOOLEAN:
                return isinstance(value, bool)
            case VariableType.NUMBER:
                return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of an event.

    Attributes:
        name: As in a template and in `ctx`.
        type: What it holds.
        example: A value as it could be.
        meaning_en: What it is, a few words of English.
        meaning_zh: The same in Chinese.
        by_people: Its text is written freely by people, so a template may have to fence it.
    """

    name: str
    type: VariableType
    example: Value
    meaning_en: str = ""
    meaning_zh: str = ""
    by_people: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the variable as `GET /event-types` shows it."""
        return {
            "name": self.name,
            "type": self.type.value,
            "example": self.example,
            "description": {"en": self.meaning_en, "zh-CN": self.meaning_zh},
        }


def _text(name: str, example: str, en: str, zh: str, *, by_people: bool = False) -> Variable:
    return Variable(name, VariableType.STRING, example, en, zh, by_people)


def _number(name: str, example: float, en: str, zh: str) -> Variable:
    return Variable(name, VariableType.NUMBER, example, en, zh)


COMMON: tuple[Variable, ...] = (
    _text("eventName", "task.created", "Name of the event", "触发的事件名称"),
    _text("timestamp", "2026-01-15T09:00:00Z", "When it happened, ISO 8601 in UTC", "事件触发时间（ISO 格式）"),
    _text("workspaceId", "cmkenp0a10000vwl8", "Workspace that it belongs to", "所属工作空间 ID"),
)
"""Carried by every event."""

BATCH: tuple[Variable, ...] = (
    Variable("batch", VariableType.BOOLEAN, True, "Whether events were merged", "是否为批量合并事件"),
    _number("batchSize", 10, "How many events were merged", "合并的事件数量"),
    _text(
        "events",
        '[{"eventName":"task.created","taskId":"task-1"}]',
        "The merged events, oldest first (JSON array)",
        "各事件摘要（JSON 数组）",
        by_people=True,
    ),
)
"""Carried besides by the event that stands for a merged batch."""

RESERVED: frozenset[str] = frozenset(
    {v.name for v in (*COMMON, *BATCH)} | {"id", "source", "operationId", "authorTrust", "cause"}
)
"""Names that a declared event type cannot give to a variable."""

_VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        _text("taskId", "task-1", "Number of the task, as people say it", "任务业务编号"),
        _text("taskDBId", "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d", "UUID of the task", "任务数据库 UUID"),
        _text("taskType", "task", "task, bug, story, …", "任务类型（如 task、bug、story 等）"),
        _text("taskTitle", "修复登录Bug", "Title of the task", "任务标题", by_people=True),
        _text("taskStatus", "todo", "Status of the task now", "任务当前状态"),
        _text("assigneeId", "user-uuid-456", "Id of the assignee", "负责人 ID"),
        _text("assigneeName", "张三", "Name of the assignee", "负责人名称", by_people=True),
        _text("createdBy", "李四", "Name of who created it", "任务创建者", by_people=True),
        _text("updatedBy", "王五", "Name of who changed it", "任务更新者", by_people=True),
        _text("deletedBy", "赵六", "Name of who deleted it", "任务删除者", by_people=True),
        _text("changes", '{"status":"blocked"}', "What changed (JSON)", "变更字段详情（JSON 格式）", by_people=True),
        _text("commentId", "comment-uuid-789", "Id of the comment", "评论 ID"),
        _text("commentContent", "这个Bug已修复", "Text of the comment", "评论内容", by_people=True),
        _text("commenterId", "user-uuid-abc", "Id of who commented", "评论者 ID"),
        _text("commenterName", "赵六", "Name of who commented", "评论者名称", by_people=True),
        _text("conversationId", "conv-uuid-abc", "Id of the conversation", "对话 ID"),
        _text("errorMessage", "API调用超时", "What went wrong", "错误信息", by_people=True),
        _text("errorStack", "Error: ...", "Stack of the error", "错误堆栈（仅 error 事件）", by_people=True),
        _number("retryCount", 2, "Retries so far", "重试次数（仅 error 事件）"),
        _text("quotaType", "token", "Kind of quota", "额度类型（仅 quota_exhausted 事件）"),
        _number("remaining", 0, "What is left of it", "剩余额度（仅 quota_exhausted 事件）"),
        _number("duration", 300, "Seconds until the limit", "超时时长秒数（仅 timeout 事件）"),
        _text("lastMessage", "请帮我分析...", "Last message", "最后一条消息（仅 timeout 事件）", by_people=True),
        _text("userId", "user-uuid-def", "Id of the member", "相关用户 ID"),
        _text("userName", "孙七", "Name of the member", "相关用户名称", by_people=True),
    )
}


@dataclass(frozen=True)
class EventType:
    """One kind of event.

    Attributes:
        name: Such as `task.created`.
        variables: What it carries besides `COMMON`, in the order of the tables.
        meaning_en: When it happens, English.
        meaning_zh: When it happens, Chinese.
        subject: The variable that names what it is about (limits of the loop guard count by it), or None.
        declared: Declared by an administrator, not built in.
    """

    name: str
    variables: tuple[Variable, ...]
    meaning_en: str = ""
    meaning_zh: str = ""
    subject: str | None = None
    declared: bool = False

    @cached_property
    def types(self) -> Mapping[str, VariableType]:
        """Type by name of its own variables."""
        return MappingProxyType({v.name: v.type for v in self.variables})

    @cached_property
    def readable(self) -> frozenset[str]:
        """Names of everything that one event of this type carries, batch variables left out."""
        return frozenset(v.name for v in (*COMMON, *self.variables))

    @cached_property
    def by_people(self) -> frozenset[str]:
        """Names of the variables with freely written text, the merged `events` among them."""
        return frozenset(v.name for v in (*self.variables, *BATCH) if v.by_people)

    @cached_property
    def sample(self) -> dict[str, Value]:
        """A whole event of this type, flat, as a client could send it."""
        values: dict[str, Value] = {v.name: v.example for v in (*COMMON, *self.variables)}
        return values | {"eventName": self.name}

    def subject_of(self, variables: Mapping[str, Value]) -> str | None:
        """Return the id of the task, conversation or member that an event is about."""
        return None if self.subject is None else str(variables.get(self.subject, "")) or None

    def as_dict(self) -> dict[str, object]:
        """Return the type as `GET /event-types` shows it."""
        return {
            "name": self.name,
            "description": {"en": self.meaning_en, "zh-CN": self.meaning_zh},
            "declared": self.declared,
            "variables": [v.as_dict() for v in (*COMMON, *self.variables)],
            "sample": self.sample,
        }


def _built_in(name: str, variables: str, en: str, zh: str, subject: str) -> EventType:
    return EventType(name, tuple(_VARIABLES[v] for v in variables.split()), en, zh, subject)


_TASK = "taskId taskDBId taskType taskTitle"
_COMMENT = "commentId commentContent commenterId commenterName"

BUILT_IN: tuple[EventType, ...] = (
    _built_in("task.created", f"{_TASK} taskStatus createdBy", "A task is created", "新任务创建时", "taskId"),
    _built_in("task.updated", f"{_TASK} taskStatus updatedBy changes", "A task is changed", "任务更新时", "taskId"),
    _built_in("task.commented", f"{_TASK} {_COMMENT}", "A comment is added to a task", "添加评论时", "taskId"),
    _built_in(
        "task.reassigned",
        f"{_TASK} assigneeId assigneeName updatedBy",
        "The assignee of a task changes",
        "负责人变更时",
        "taskId",
    ),
    _built_in(
        "task.status_changed", f"{_TASK} taskStatus updatedBy", "The status of a task changes", "状态变更时", "taskId"
    ),
    _built_in("task.deleted", f"{_TASK} deletedBy", "A task is deleted", "任务删除时", "taskId"),
    _built_in(
        "conversation.error",
        "conversationId errorMessage errorStack retryCount",
        "An agent's conversation fails",
        "对话出错时",
        "conversationId",
    ),
    _built_in(
        "conversation.quota_exhausted",
        "conversationId errorMessage quotaType remaining",
        "A quota is used up",
        "额度用尽时",
        "conversationId",
    ),
    _built_in(
        "conversation.timeout",
        "conversationId errorMessage duration lastMessage",
        "A conversation runs out of time",
        "对话超时时",
        "conversationId",
    ),
    _built_in("workspace.member_joined", "userId userName", "A member joins the workspace", "成员加入时", "userId"),
    _built_in("workspace.member_left", "userId userName", "A member leaves the workspace", "成员离开时", "userId"),
)
"""The eleven events of the contract, in the order of its table."""

_BUILT_IN_NAMES = frozenset(t.name for t in BUILT_IN)


def declare(name: str, variables: Sequence[tuple[str, str, Value]], *, description: str = "") -> EventType:
    """Return an event type that an administrator declares.

    All of its texts count as written by people: nothing says that they are not.

    Args:
        name: Lower-case words with at least one dot, such as `deploy.finished`.
        variables: Name, type (`string`, `number`, `boolean`) and example of each.
        description: When it happens, in the administrator's language.

    Raises:
        InvalidError: A name that cannot be used, a type that is unknown, an example of another type.
    """
    problems: list[Problem] = []
    if len(name) > MAX_NAME or not _EVENT_NAME.fullmatch(name):
        problems.append(Problem("name", f"{name[:MAX_NAME]!r} is no event name; write one such as deploy.finished"))
    elif name in _BUILT_IN_NAMES:
        problems.append(Problem("name", f"{name} is built in; choose another name"))
    if len(variables) > MAX_VARIABLES:
        problems.append(Problem("variables", f"an event type has at most {MAX_VARIABLES} variables"))
    made = [_declared_variable(*variable, problems) for variable in variables[:MAX_VARIABLES]]
    names = [v.name for v in made]
    problems.extend(
        Problem(f"variables.{name}", "declared twice") for name in sorted({n for n in names if names.count(n) > 1})
    )
    if problems:
        raise InvalidError("this event type cannot be declared", where=name[:MAX_NAME], problems=tuple(problems))
    return EventType(name, tuple(made), description, description, declared=True)


def _declared_variable(name: str, kind: str, example: Value, problems: list[Problem]) -> Variable:
    field = f"variables.{name[:MAX_NAME]}"
    if len(name) > MAX_NAME or not _VARIABLE_NAME.fullmatch(name):
        problems.append(Problem(field, "a variable's name has letters, digits and _ and begins with no digit"))
    elif name in RESERVED:
        problems.append(Problem(field, "the name is taken by every event; choose another"))
    if kind not in VariableType.__members__.values():
        problems.append(Problem(field, f"{kind[:MAX_NAME]!r} is no type; choose string, number or boolean"))
        kind = VariableType.STRING
    elif not VariableType(kind).holds(example):
        problems.append(Problem(field, f"the example is no {kind}"))
    return Variable(name, VariableType(kind), example, by_people=kind == VariableType.STRING)


class Catalog:
    """The event types that a server knows. Never changes: a declaration makes a new catalog.

    Args:
        declared: Administrators' event types.
    """

    __slots__ = ("_types",)

    def __init__(self, declared: Iterable[EventType] = ()) -> None:
        self._types: Mapping[str, EventType] = MappingProxyType({t.name: t for t in (*declared, *BUILT_IN)})

    def __iter__(self) -> Iterator[EventType]:
        """Iterate over the built-in types in the order of the contract, then the declared ones by name."""
        yield from BUILT_IN
        yield from sorted((t for t in self._types.values() if t.declared), key=lambda t: t.name)

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def get(self, name: str) -> EventType | None:
        """Return the type of a name, or None."""
        return self._types.get(name)

    def near(self, name: str) -> str | None:
        """Return the known name that an unknown one probably means."""
        return nearest(name, self._types)

    def select(self, names: Iterable[str]) -> tuple[EventType, ...]:
        """Return the types of some names; unknown names are left out (`check` reports them)."""
        return tuple(t for t in map(self._types.get, names) if t is not None)

    def check(self, names: Sequence[str], field: str = "events") -> list[Problem]:
        """Return the problems of a callback's choice of events."""
        if not names:
            return [Problem(field, "choose at least one event")]
        return [Problem(field, unknown_event(name, self)) for name in names if name not in self._types]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like an unknown one, or None when none is similar."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name[:MAX_NAME].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def unknown_event(name: str, catalog: Catalog) -> str:
    """Return the sentence about an unknown event name, with the name that was probably meant."""
    near = catalog.near(name)
    return f"unknown event {name[:MAX_NAME]!r}" + (
        f"; did you mean {near}?" if near else "; GET /api/v1/event-types lists them"
    )
