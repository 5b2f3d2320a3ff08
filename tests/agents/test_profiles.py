"""Profiles: what is refused, in which words, and that each kind is one file."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any, get_args

import pytest

import hookyard.agents
from hookyard.agents.base import KINDS, Agent, Parts
from hookyard.agents.profiles import DEFAULT, Kind, Profile, available, make_agent, read_profile, unavailable
from hookyard.core.errors import InvalidError

EXAMPLES: dict[str, dict[str, Any]] = {
    "built-in": {"kind": "built-in", "model": "anthropic:claude", "tools": ["bash"]},
    "claude-code": {"kind": "claude-code", "model": "sonnet"},
    "codex": {"kind": "codex"},
    "gemini": {"kind": "gemini"},
    "acp": {"kind": "acp", "command": ["agent", "--acp"]},
    "command": {"kind": "command", "argv": ["cat"]},
    "http": {"kind": "http", "url": "https://agents.example.com/run"},
    "dry-run": {"kind": "dry-run"},
}


def test_kinds_are_those_of_the_contract_and_each_is_a_file() -> None:
    assert get_args(Kind) == tuple(KINDS) == tuple(EXAMPLES)
    offering = {
        module.name.replace("_", "-")
        for module in pkgutil.iter_modules(hookyard.agents.__path__)
        if hasattr(importlib.import_module(f"hookyard.agents.{module.name}"), "unavailable")
    }
    assert offering - {"profiles"} == set(KINDS) == set(available())


@pytest.mark.parametrize("kind", ["built-in", "command", "dry-run"])
def test_a_profile_makes_an_agent_of_its_kind(kind: str) -> None:
    agent: Agent = make_agent(read_profile(EXAMPLES[kind], name="mine"), Parts())
    assert agent.kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_is_what_is_read(kind: str) -> None:
    more = {"timeoutSeconds": 60, "authors": "anyone", "environment": ["API_KEY"], "folder": "/srv/x", "worktree": True}
    profile = read_profile({**EXAMPLES[kind], **more}, name="mine")
    assert profile.as_config() == {**EXAMPLES[kind], **more}
    assert read_profile(profile.as_config(), name="mine") == profile
    assert read_profile(json.dumps(profile.as_config()), name="mine") == profile


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({}, "kind", "is missing"),
        ({"kind": "robot"}, "kind", "'built-in'"),
        ({"kind": "command"}, "", "needs 'argv'"),
        ({"kind": "command", "argv": []}, "argv", "at least one"),
        ({"kind": "command", "argv": ["a\0b"]}, "argv", "NUL"),
        ({"kind": "http"}, "", "needs 'url'"),
        ({"kind": "http", "url": "file:///etc/passwd"}, "url", "https://"),
        ({"kind": "acp"}, "", "needs 'command'"),
        ({"kind": "dry-run", "model": "x"}, "", "means nothing"),
        ({"kind": "dry-run", "colour": "red"}, "colour", "not a known field"),
        ({"kind": "built-in", "tools": ["bash", "fly"]}, "tools", "no built-in tool 'fly'"),
        ({"kind": "built-in", "folder": "here"}, "folder", "absolute"),
        ({"kind": "built-in", "worktree": True}, "", "needs 'folder'"),
        ({"kind": "built-in", "environment": ["KEY=secret"]}, "environment", "names only"),
        ({"kind": "built-in", "environment": ["hookyard_SECRET_KEY"]}, "environment", "hookyard's own"),
        ({"kind": "built-in", "timeoutSeconds": 0}, "timeoutSeconds", "greater than 0"),
        ({"kind": "built-in", "authors": "nobody"}, "authors", "'members'"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        read_profile(config)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert words in problem.message


def test_no_value_gets_into_an_error() -> None:
    with pytest.raises(InvalidError) as caught:
        read_profile({"kind": "http", "url": "ftp://user:hunter2@host/"})
    assert "hunter2" not in str(caught.value) + str(caught.value.problems)


def test_a_name_is_plain() -> None:
    with pytest.raises(InvalidError):
        read_profile({"kind": "dry-run", "name": "a b"})
    assert DEFAULT.kind == "dry-run"
    assert unavailable("robot") is not None


def test_folder_is_a_path() -> None:
    assert Profile(kind="dry-run", folder=Path("/srv")).folder == Path("/srv")
