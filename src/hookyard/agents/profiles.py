"""Agent profiles: what administrators write down about an agent, and the agent made from it.

Used by the API and the settings page (to check a profile), by `runs` and the command line (to make the agent). A kind
is one file of this package that is named after it (`dry-run` in `dry_run.py`) and offers `make(profile, parts)` and
`unavailable()`; nothing else names it. An agent given inline with a callback passes the same model.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from hookyard.agents.base import KINDS, Agent, AgentError, Parts
from hookyard.agents.processes import OWN_PREFIX
from hookyard.agents.tool_names import TOOL_NAMES
from hookyard.core.errors import InvalidError, Problem
from hookyard.core.pydantic_errors import problem_of

Kind = Literal["built-in", "claude-code", "codex", "gemini", "acp", "command", "http", "dry-run"]

_NEEDS = {"command": "argv", "acp": "command", "http": "url"}
"""The field that a kind cannot do without."""

_BELONGS = {
    "model": ("built-in", "claude-code", "codex", "gemini"),
    "argv": ("command",),
    "command": ("acp",),
    "url": ("http",),
    "tools": ("built-in", "claude-code"),
}
"""Fields that mean something to some kinds only; given to another they would be forgotten in silence."""

_OVER_MCP = ("claude-code", "codex", "gemini", "acp")
"""Kinds that reach the tasks of the workspace through the MCP server, with their run's token."""

_ALONE = ("http", "dry-run")
"""Kinds that start no process and know no provider: what they do needs no variable."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class Profile(BaseModel):
    """An agent as configured. In JSON the keys are camelCase.

    Attributes:
        name: How callbacks choose it; `""` for an inline agent.
        kind: Who does the work.
        model: `provider:name` for the built-in agent, the CLI's own name of a model for the others.
        argv: Program and arguments of a `command`; no shell reads them.
        command: Program and arguments of an ACP agent.
        url: Where an `http` agent is asked.
        folder: Where it works, absolute; None = a folder of its own for each run.
        worktree: Work in a fresh git worktree of `sandboxed_directory` instead of in it.
        environment: Names of variables that its processes get from the worker, besides PATH and a few like it.
        tools: Built-in tools that it may use; None = all.
        authors: Whose events it serves: those of members, or of anyone.
        timeout_seconds: Limit of a run; None = the callback's, else the setting's.
        allow_hook_files: It may write the files that configure hooks.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    name: str = ""
    kind: Kind
    model: str | None = Field(None, min_length=1, max_length=500)
    argv: tuple[str, ...] | None = Field(None, min_length=1, max_length=200)
    command: tuple[str, ...] | None = Field(None, min_length=1, max_length=200)
    url: str | None = Field(None, max_length=2_000)
    folder: Path | None = None
    worktree: bool = False
    environment: tuple[str, ...] = ()
    tools: tuple[str, ...] | None = None
    authors: Literal["members", "anyone"] = "members"
    timeout_seconds: float | None = Field(None, gt=0, le=86_400)
    allow_hook_files: bool = False

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if name and not _NAME.match(name):
            raise ValueError("use letters, digits, dots, dashes and underscores, at most 64")
        return name

    @field_validator("folder")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_absolute():
            raise ValueError("give an absolute path")
        if "\0" in str(folder):
            raise ValueError("has a NUL character; leave it out")
        return folder

    @field_validator("argv", "command")
    @classmethod
    def _program(cls, argv: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if argv and (not argv[0] or any("\0" in part for part in argv)):
            raise ValueError("the first part must be a program, and no part may hold a NUL")
        return argv

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("give an https:// or http:// URL")
        if url is not None and "\0" in url:
            raise ValueError("has a NUL character; leave it out")
        return url

    @field_validator("environment")
    @classmethod
    def _variables(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _VARIABLE.match(name):
                raise ValueError(f"{name!r} is not the name of a variable (names only, no values)")
            if name.upper().startswith(OWN_PREFIX):
                raise ValueError(f"{name} is hookyard's own and is given to no agent")
        return names

    @field_validator("tools")
    @classmethod
    def _known_tools(cls, tools: tuple[str, ...] | None, info: Any) -> tuple[str, ...] | None:
        unknown = [tool for tool in tools or () if tool not in TOOL_NAMES]
        if unknown and info.data.get("kind") == "built-in":
            raise ValueError(f"there is no built-in tool {unknown[0]!r}; there are {', '.join(TOOL_NAMES)}")
        return tools

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needed = _NEEDS.get(self.kind)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"an agent of kind {self.kind} needs {needed!r}")
        for field, kinds in _BELONGS.items():
            if getattr(self, field) is not None and self.kind not in kinds:
                raise ValueError(
                    f"{field!r} means nothing to an agent of kind {self.kind}; it is for {', '.join(kinds)}"
                )
        if self.worktree and self.folder is None:
            raise ValueError("'worktree' needs 'folder', the git repository to take it from")
        return self

    @property
    def needs_token(self) -> bool:
        """Whether its runs use a token of scope `run`."""
        return self.kind in _OVER_MCP

    @property
    def needs_environment(self) -> bool:
        """Whether the worker's variables, the keys of providers among them, mean anything to it."""
        return self.kind not in _ALONE

    def as_config(self) -> dict[str, Any]:
        """Return the stored and shown form: camelCase, without the name and without defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"name"})


DEFAULT = Profile(name="dry-run", kind="dry-run")
"""What runs when nothing is configured."""


def read_profile(config: Mapping[str, Any] | str, *, name: str = "") -> Profile:
    """Validate a profile from the API, the database or a callback.

    Args:
        config: Its fields, or the JSON text of them.
        name: Its name, when it has one.

    Raises:
        InvalidError: With one problem for each fault, named by field.
    """
    try:
        if isinstance(config, str):
            profile = Profile.model_validate_json(config)
        else:
            profile = Profile.model_validate(dict(config))
    except ValidationError as error:
        raise _refusal(error) from None
    return profile.model_copy(update={"name": name}) if name else profile


def make_agent(profile: Profile, parts: Parts) -> Agent:
    """Return the agent that a profile describes.

    Raises:
        AgentError: Its kind cannot be used here; says what to install.
    """
    reason = unavailable(profile.kind)
    if reason is not None:
        raise AgentError(f"an agent of kind {profile.kind} cannot run here: {reason}")
    agent: Agent = _file_of(profile.kind).make(profile, parts)
    return agent


def unavailable(kind: str) -> str | None:
    """Return why a kind cannot be used on this machine, with the fix, None when it can."""
    if kind not in KINDS:
        return f"there is no such kind; there are {', '.join(KINDS)}"
    reason: str | None = _file_of(kind).unavailable()
    return reason


def available() -> dict[str, str | None]:
    """Return every kind with the reason why it cannot be used on this machine, or None."""
    return {kind: unavailable(kind) for kind in KINDS}


def _file_of(kind: str) -> ModuleType:
    return importlib.import_module(f"hookyard.agents.{kind.replace('-', '_')}")


def _refusal(error: ValidationError) -> InvalidError:
    problems = []
    for fault in error.errors(include_url=False, include_input=False):
        problem = problem_of(fault, fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = ", ".join(to_camel(name) for name in Profile.model_fields)
            problem = Problem(problem.field, f"{problem.message}; there are {known}")
        problems.append(problem)
    first = problems[0]
    return InvalidError(
        f"not an agent that can be used: {first.message}", where=first.field or None, problems=tuple(problems)
    )
