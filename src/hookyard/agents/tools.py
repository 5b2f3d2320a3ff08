"""The built-in agent's tools: files, a shell, and the tasks of its workspace.

Made for one run by `agents.built_in` and by the MCP server for agents that are processes. Every tool is bounded in time
and in what it gives back, works inside the working folder, and fails with words that the model can act on. Whether a
call may happen at all is not decided here but by `session` and the webhooks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from hookyard.agents import file_tools
from hookyard.agents.base import AgentError, Permission, WorkspaceTools
from hookyard.agents.processes import run
from hookyard.agents.sandboxed_directory import SandboxedDirectory, names_hook_file
from hookyard.agents.session import ToolError
from hookyard.core.errors import HookyardError

ARGS_CHARS = 2_000_000
"""Longest arguments that are looked at."""

BASH_SECONDS = 120.0
BASH_MOST_SECONDS = 600.0
BASH_BYTES = 65_536


class Args(BaseModel):
    """Arguments of a tool, as the model gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadFile(Args):
    """Arguments of `read_file`."""

    path: str = Field(description="Relative to the working folder")
    offset: int = Field(1, ge=1, description="First line")
    limit: int = Field(2000, ge=1, le=10_000, description="Number of lines")


class WriteFile(Args):
    """Arguments of `write_file`."""

    path: str = Field(description="Relative to the working folder; folders on the way are made")
    content: str = Field(description="The whole new content")


class EditFile(Args):
    """Arguments of `edit_file`."""

    path: str = Field(description="Relative to the working folder")
    old_text: str = Field(min_length=1, description="Text to replace, exactly as in the file, occurring once")
    new_text: str = Field(description="What to put in its place")
    replace_all: bool = Field(False, description="Replace every occurrence")


class ListDirectory(Args):
    """Arguments of `list_directory`."""

    path: str = Field(".", description="Relative to the working folder")


class SearchFiles(Args):
    """Arguments of `search_files`."""

    pattern: str = Field(min_length=1, max_length=1000, description="Regular expression (RE2) that a line must match")
    path: str = Field(".", description="Folder to search, relative to the working folder")
    glob: str = Field("*", description="Names of files to look into, such as *.py")


class Bash(Args):
    """Arguments of `bash`."""

    command: str = Field(min_length=1, max_length=100_000, description="Run by bash in the working folder")
    timeout_seconds: float = Field(BASH_SECONDS, gt=0, le=BASH_MOST_SECONDS)


_TASK_ID = AliasChoices("task_id", "taskId")


class GetTask(Args):
    """Arguments of `get_task`."""

    task_id: str = Field(validation_alias=_TASK_ID, description="Such as task-1")


class CreateTask(Args):
    """Arguments of `create_task`."""

    title: str = Field(min_length=1)
    type: str = Field("task", description="task, bug, story, …")
    status: str = "todo"
    description: str = ""


class UpdateTask(Args):
    """Arguments of `update_task`."""

    task_id: str = Field(validation_alias=_TASK_ID, description="Such as task-1")
    title: str | None = None
    description: str | None = None
    type: str | None = None
    status: str | None = None
    assignee_id: str | None = Field(None, validation_alias=AliasChoices("assignee_id", "assigneeId"))
    labels: tuple[str, ...] | None = None


class CommentTask(Args):
    """Arguments of `comment_task`."""

    task_id: str = Field(validation_alias=_TASK_ID, description="Such as task-1")
    content: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of one run; a `Step` to the agent's life.

    Attributes:
        name: As the model calls it.
        description: The tool's description for the model.
        args: The shape of its arguments.
        action: Does it; gives what the model reads, raises ToolError.
        changes: It can change something, so that a person may be asked first.
        permission: Who is asked, None for no question.
    """

    name: str
    description: str
    args: type[Args]
    action: Callable[[Any], Awaitable[str]]
    changes: bool = False
    permission: Permission | None = None

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        schema = self.args.model_json_schema(by_alias=False)
        schema.pop("description", None)
        schema.pop("title", None)
        return schema

    def check(self, args: str) -> Args:
        """Validate the arguments and return them."""
        if len(args) > ARGS_CHARS:
            raise ToolError(f"The arguments of {self.name} are too long.")
        try:
            return self.args.model_validate_json(args or "{}")
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False, include_context=False)
            told = "; ".join(f"{'.'.join(map(str, f['loc'])) or 'arguments'}: {f['msg']}" for f in faults[:5])
            raise ToolError(f"The arguments do not fit {self.name}: {told}") from None

    async def permit(self, checked: Args) -> None:
        """Ask the person at the terminal, if there is one and the tool can change something."""
        if self.changes and self.permission is not None:
            shown = checked.model_dump_json(exclude_defaults=True)
            if not await self.permission(self.name, shown):
                raise ToolError("The user did not permit this call.")

    async def run(self, checked: Args) -> str:
        """Do it."""
        return await self.action(checked)

    def edits(self, checked: Args) -> str | None:
        """Return the file that a call writes, None when it writes none."""
        return checked.path if isinstance(checked, WriteFile | EditFile) else None


def make_tools(
    directory: SandboxedDirectory,
    *,
    environment: Mapping[str, str],
    workspace: WorkspaceTools | None = None,
    only: Collection[str] | None = None,
    permission: Permission | None = None,
    guard_hook_files: bool = True,
) -> dict[str, Tool]:
    """Return the tools of one run by name.

    Args:
        directory: The working folder.
        environment: Variables of the shell, and no others.
        workspace: The tasks; None outside a workspace.
        only: Names of the tools that may be used, None for all.
        permission: Who is asked before a tool changes something.
        guard_hook_files: Refuse shell commands that name files which configure hooks.
    """
    tools = [*_files(directory), _bash(directory, environment, guard=guard_hook_files)]
    if workspace is not None:
        tools += workspace_tools(workspace)
    return {
        tool.name: Tool(tool.name, tool.description, tool.args, tool.action, tool.changes, permission)
        for tool in tools
        if only is None or tool.name in only
    }


def _files(directory: SandboxedDirectory) -> list[Tool]:
    writing = asyncio.Lock()  # two edits of one file in one answer of the model must not lose one

    async def read_file(args: ReadFile) -> str:
        return await asyncio.to_thread(file_tools.read, directory, args.path, args.offset, args.limit)

    async def write_file(args: WriteFile) -> str:
        async with writing:
            return await asyncio.to_thread(file_tools.write, directory, args.path, args.content)

    async def edit_file(args: EditFile) -> str:
        async with writing:
            return await asyncio.to_thread(
                file_tools.edit, directory, args.path, args.old_text, args.new_text, everywhere=args.replace_all
            )

    async def list_directory(args: ListDirectory) -> str:
        return await asyncio.to_thread(file_tools.listing, directory, args.path)

    async def search_files(args: SearchFiles) -> str:
        return await asyncio.to_thread(file_tools.search, directory, args.pattern, args.path, args.glob)

    return [
        Tool("read_file", "Read a text file.", ReadFile, read_file),
        Tool("write_file", "Write a text file whole.", WriteFile, write_file, changes=True),
        Tool("edit_file", "Replace text in a file.", EditFile, edit_file, changes=True),
        Tool("list_directory", "List a folder.", ListDirectory, list_directory),
        Tool("search_files", "Find lines in files.", SearchFiles, search_files),
    ]


def _bash(directory: SandboxedDirectory, environment: Mapping[str, str], *, guard: bool) -> Tool:
    async def bash(args: Bash) -> str:
        if guard and names_hook_file(args.command.replace(str(directory.root), ".")):
            raise ToolError(
                "This command names a file that configures hooks, and a governed agent may not write those. "
                "To read one, use read_file."
            )
        try:
            finished = await run(
                ["bash", "-c", args.command],
                working_dir=directory.root,
                environment=environment,
                stdout_limit=BASH_BYTES,
                stderr_limit=BASH_BYTES // 4,
                timeout_seconds=args.timeout_seconds,
            )
        except AgentError as error:
            raise ToolError(str(error)) from None
        said = finished.stdout
        if finished.stderr:
            said += f"\n[stderr]\n{finished.stderr}"
        if finished.timed_out:
            raise ToolError(f"{said}\n[ended after {args.timeout_seconds:g} s]".lstrip())
        if finished.code:
            raise ToolError(f"{said}\n[exit code {finished.code}]".lstrip())
        return said or "[no output]"

    description = "Run a shell command in the working folder. It ends, with all that it started, when it returns."
    return Tool("bash", description, Bash, bash, changes=True)


def workspace_tools(workspace: WorkspaceTools) -> list[Tool]:
    """Return the four task tools."""

    async def get_task(args: GetTask) -> str:
        return await _told(workspace.get_task(args.task_id))

    async def create_task(args: CreateTask) -> str:
        return await _told(workspace.create_task(args.title, args.type, args.status, args.description))

    async def update_task(args: UpdateTask) -> str:
        changes = args.model_dump(exclude={"task_id"}, exclude_none=True)
        if "assignee_id" in changes:
            changes["assigneeId"] = changes.pop("assignee_id")
        if not changes:
            raise ToolError("Nothing to change was given.")
        return await _told(workspace.update_task(args.task_id, changes))

    async def comment_task(args: CommentTask) -> str:
        return await _told(workspace.comment_task(args.task_id, args.content))

    return [
        Tool("get_task", "Read a task with its comments.", GetTask, get_task),
        Tool("create_task", "Make a task.", CreateTask, create_task),
        Tool("update_task", "Change fields of a task.", UpdateTask, update_task),
        Tool("comment_task", "Comment on a task.", CommentTask, comment_task),
    ]


async def _told(asked: Awaitable[Mapping[str, Any]]) -> str:
    try:
        return json.dumps(await asked, ensure_ascii=False, default=str)
    except HookyardError as error:
        raise ToolError(str(error)) from None
