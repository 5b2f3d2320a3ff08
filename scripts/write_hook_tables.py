"""Write the tables of the webhooks pages that are derived from the code: `uv run python -m scripts.write_hook_tables`.

A test fails while a page differs from what this would write.
"""

from __future__ import annotations

import re

from hookyard.hooks.points import POINTS, Modifies, Point
from scripts.pages import both

PAGES = both("reference/hooks-toml")
TABLE = re.compile(r"<!-- table: points -->.*?(?=\n\n`deny`)", re.DOTALL)

HEAD = {
    "en": "| When | Words | `event` | `deny` | `modify` |",
    "zh-CN": "| 时机 | 触发词 | `event` | `deny` | `modify` |",
}
WHEN: dict[Point, tuple[str, str]] = {
    Point.MESSAGE: ("a user's message arrives", "收到用户消息"),
    Point.TURN_START: ("a turn starts", "一轮开始"),
    Point.SYSTEM_PROMPT: ("the system prompt is built", "系统提示词构建时"),
    Point.MODEL_RESPONSE: ("the model has responded", "模型已回复"),
    Point.TOOL_CALL_START: ("the model requests a tool, before the permission check", "模型请求工具，权限检查之前"),
    Point.PRE_TOOL: ("before the tool runs, after the permission check", "工具执行前，权限检查之后"),
    Point.POST_TOOL: ("the tool has run", "工具已执行"),
    Point.TURN_COMPLETE: ("a turn is complete, with statistics", "一轮完成（含统计）"),
    Point.POST_TURN: ("a turn is complete, for older receivers", "一轮完成（旧版兼容）"),
    Point.SESSION_START: ("a session starts", "会话开始"),
    Point.SESSION_END: ("a session ends", "会话结束"),
    Point.ERROR: ("an error occurred", "出错时"),
}
MODIFIES: dict[Modifies, tuple[str, str]] = {
    Modifies.NOTHING: ("", ""),
    Modifies.MESSAGE: ("the message", "消息"),
    Modifies.SYSTEM_PROMPT: ("text is appended", "追加文本"),
    Modifies.RESPONSE: ("the response", "回复"),
    Modifies.TOOL_ARGS: ("the arguments", "参数"),
    Modifies.RESULT: ("the result", "结果"),
}


def points_table(language: str) -> str:
    """The table of all points in a language, `en` or `zh-CN`."""
    index = 0 if language == "en" else 1
    yes = ("yes", "可以")[index]
    rows = [HEAD[language], "|---|---|---|---|---|"]
    for point, spec in POINTS.items():
        words = ", ".join(f"`{word}`" for word in spec.words)
        deny = yes if spec.may_deny else ""
        rows.append(f"| {WHEN[point][index]} | {words} | `{spec.event}` | {deny} | {MODIFIES[spec.modifies][index]} |")
    return "\n".join(rows)


def written(page: str, language: str) -> str:
    """A page's text with its table as it must be."""
    return TABLE.sub(f"<!-- table: points -->\n\n{points_table(language)}", page)


if __name__ == "__main__":
    for language, path in PAGES.items():
        path.write_text(written(path.read_text(encoding="utf-8"), language), encoding="utf-8")
