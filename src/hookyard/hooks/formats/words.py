"""The words of chat messages, in Chinese and English. Read by `summary`; no text of a message stands anywhere else."""

from __future__ import annotations

from typing import Final

AGENTS: Final = {
    "atomcode": "AtomCode",
    "claude-code": "Claude Code",
    "codex": "Codex",
    "copilot": "Copilot",
    "gemini": "Gemini",
    "opencode": "OpenCode",
}
"""Agents as people write their names; any other is shown as it calls itself."""

EN: Final = {
    "on_message_received": "{agent} received a message",
    "on_turn_start": "{agent} starts a turn",
    "system_prompt": "{agent} built its system prompt",
    "on_model_response": "{agent} got the model's answer",
    "on_tool_call_start": "{agent} asks to use {tool}",
    "pre_tool_execution": "{agent} is about to run {tool}",
    "post_tool_execution": "{agent} ran {tool}",
    "post_tool_execution.failed": "{agent}: {tool} failed",
    "on_turn_complete": "{agent} finished its turn",
    "on_turn_complete.failed": "{agent}: the turn failed",
    "on_turn_complete.cancelled": "{agent}: the turn was cancelled",
    "post_turn": "{agent} finished its turn",
    "on_session_start": "{agent} starts a session",
    "on_session_end": "{agent} ended its session",
    "on_error": "{agent} met an error",
    "other": "{agent}: {event}",
    "a tool": "a tool",
    "where": "Project",
    "session": "Session",
    "turn": "turn {number}",
    "model": "Model",
    "phase": "Phase",
    "files": "Files",
    "error": "Error",
    "took": "Took",
    "tool_calls": "Tool calls",
    "tokens": "Tokens",
    "answer_cut": "answer cut short",
    "message": "Message",
    "prompt": "System prompt",
    "response": "Answer",
    "args": "What it does",
    "result": "Result",
    "length": "… ({count} characters in all)",
    "caused_by": "Caused by",
    "colon": ": ",
}

ZH: Final = {
    "on_message_received": "{agent} 收到用户消息",
    "on_turn_start": "{agent} 开始新一轮",
    "system_prompt": "{agent} 已构建系统提示词",
    "on_model_response": "{agent} 的模型已回复",
    "on_tool_call_start": "{agent} 请求使用 {tool}",
    "pre_tool_execution": "{agent} 即将执行 {tool}",
    "post_tool_execution": "{agent} 已执行 {tool}",
    "post_tool_execution.failed": "{agent} 执行 {tool} 失败",
    "on_turn_complete": "{agent} 已完成本轮",
    "on_turn_complete.failed": "{agent} 本轮失败",
    "on_turn_complete.cancelled": "{agent} 本轮已取消",
    "post_turn": "{agent} 已完成本轮",
    "on_session_start": "{agent} 开始会话",
    "on_session_end": "{agent} 已结束会话",
    "on_error": "{agent} 发生错误",
    "other": "{agent}：{event}",
    "a tool": "工具",
    "where": "项目",
    "session": "会话",
    "turn": "第 {number} 轮",
    "model": "模型",
    "phase": "阶段",
    "files": "文件",
    "error": "错误",
    "took": "耗时",
    "tool_calls": "工具调用",
    "tokens": "Token",
    "answer_cut": "回复被截断",
    "message": "消息",
    "prompt": "系统提示词",
    "response": "回复",
    "args": "操作",
    "result": "结果",
    "length": "…（共 {count} 个字符）",
    "caused_by": "起因",
    "colon": "：",
}


def words(language: str) -> dict[str, str]:
    """Return the texts of a language: Chinese for any tag that begins with `zh`, else English."""
    return ZH if language.lower().startswith("zh") else EN
