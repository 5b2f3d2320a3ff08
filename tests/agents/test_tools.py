"""The built-in tools: inside the folder, bounded, and with words that a model can act on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.agents import file_tools
from hookyard.agents.sandboxed_directory import SandboxedDirectory, is_hook_file, names_hook_file
from hookyard.agents.session import ToolError
from hookyard.agents.tool_names import TOOL_NAMES
from hookyard.agents.tools import Tool, make_tools
from tests.agents.fakes import FakeWorkspace

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return made


@pytest.fixture
def tools(folder: Path) -> dict[str, Tool]:
    return make_tools(SandboxedDirectory(folder), environment=ENVIRONMENT, workspace=FakeWorkspace())


async def call(tools: dict[str, Tool], name: str, **args: Any) -> str:
    tool = tools[name]
    return await tool.run(tool.check(json.dumps(args)))


def test_every_tool_of_the_contract_and_no_other(tools: dict[str, Tool], folder: Path) -> None:
    assert tuple(tools) == TOOL_NAMES
    alone = make_tools(SandboxedDirectory(folder), environment=ENVIRONMENT)
    assert tuple(alone) == TOOL_NAMES[:6]
    few = make_tools(SandboxedDirectory(folder), environment=ENVIRONMENT, only=["bash", "get_task"])
    assert tuple(few) == ("bash",)


def test_schemas_are_plain_objects(tools: dict[str, Tool]) -> None:
    for tool in tools.values():
        schema = tool.schema()
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
    assert tools["bash"].schema()["required"] == ["command"]
    assert tools["comment_task"].schema()["required"] == ["task_id", "content"]


async def test_files_written_read_edited_listed_and_found(tools: dict[str, Tool], folder: Path) -> None:
    assert "7 bytes" in await call(tools, "write_file", path="a/b.txt", content="one\n二")
    assert await call(tools, "read_file", path="a/b.txt") == "one\n二"
    assert await call(tools, "read_file", path=str(folder / "a/b.txt"), offset=2) == "二"
    assert "1 occurrence" in await call(tools, "edit_file", path="a/b.txt", old_text="one", new_text="two")
    assert (folder / "a/b.txt").read_text() == "two\n二"
    assert await call(tools, "list_directory") == "a/"
    assert await call(tools, "list_directory", path="a") == "b.txt  7"
    assert await call(tools, "search_files", pattern="t.o") == "a/b.txt:1: two"
    assert await call(tools, "search_files", pattern="t.o", glob="*.py") == "[nothing found]"


async def test_edit_must_be_certain(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "a").write_text("x x")
    with pytest.raises(ToolError, match="2 times"):
        await call(tools, "edit_file", path="a", old_text="x", new_text="y")
    with pytest.raises(ToolError, match="does not occur"):
        await call(tools, "edit_file", path="a", old_text="z", new_text="y")
    await call(tools, "edit_file", path="a", old_text="x", new_text="y", replace_all=True)
    assert (folder / "a").read_text() == "y y"


async def test_mode_of_a_file_is_kept(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "run.sh").write_text("old")
    (folder / "run.sh").chmod(0o755)
    await call(tools, "write_file", path="run.sh", content="new")
    assert (folder / "run.sh").stat().st_mode & 0o777 == 0o755
    assert os.listdir(folder) == ["run.sh"]  # noqa: PTH208


@pytest.mark.parametrize(
    "path", ["../secret.txt", "/etc/passwd", "a/../../secret.txt", "out", "out/secret.txt", "loop", "dir/up", "abs"]
)
async def test_nothing_outside_is_reached(tools: dict[str, Tool], folder: Path, path: str) -> None:
    (folder / "a").mkdir()
    (folder / "dir").mkdir()
    (folder / "out").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "dir/up").symlink_to("../../secret.txt")
    (folder / "abs").symlink_to(folder.parent / "secret.txt")
    for name, more in (("read_file", {}), ("write_file", {"content": "x"}), ("list_directory", {})):
        with pytest.raises(ToolError):
            await call(tools, name, path=path, **more)
    assert (folder.parent / "secret.txt").read_text() == "secret"


async def test_links_that_stay_inside_work(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real/f").write_text("text")
    (folder / "link").symlink_to("real")
    (folder / "real/back").symlink_to(folder / "link/f")
    assert await call(tools, "read_file", path="link/back") == "text"
    await call(tools, "write_file", path="link/back", content="new")
    assert (folder / "real/f").read_text() == "new"
    assert (folder / "real/back").is_symlink()


async def test_search_does_not_follow_links(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent)
    (folder / "file").symlink_to(folder.parent / "secret.txt")
    assert await call(tools, "search_files", pattern="secret") == "[nothing found]"


async def test_what_is_no_text_is_refused_kindly(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "bin").write_bytes(b"\x7fELF\0\0")
    (folder / "latin").write_bytes("é".encode("latin-1"))
    os.mkfifo(folder / "pipe")
    for path, words in (
        ("bin", "binary"),
        ("latin", "UTF-8"),
        ("pipe", "plain file"),
        (".", "directory"),
        ("no", "No such"),
    ):
        with pytest.raises(ToolError, match=words):
            await call(tools, "read_file", path=path)


async def test_long_files_are_shown_in_parts(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "long").write_text("".join(f"{n}\n" for n in range(5000)))
    shown = await call(tools, "read_file", path="long", offset=10, limit=2)
    assert shown.startswith("9\n10\n[…")
    assert "5000 lines" in shown
    (folder / "wide").write_text("x" * 1_000_000)
    assert len(await call(tools, "read_file", path="wide")) < 70_000


async def test_a_hostile_expression_takes_no_time(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "a").write_text("a" * 100_000 + "!")
    await call(tools, "search_files", pattern="(a+)+$")
    with pytest.raises(ToolError, match="regular expression"):
        await call(tools, "search_files", pattern="(")


@pytest.fixture
def endless(folder: Path) -> Iterator[None]:
    """More folders below one another than Python has calls; taken away again, which pytest could not."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    yield
    subprocess.run(["rm", "-rf", folder / "d"], check=True)


@pytest.mark.usefixtures("endless")
async def test_a_folder_without_end_takes_neither_calls_nor_files(tools: dict[str, Tool], folder: Path) -> None:
    (folder / "d" / "d" / "f").write_text("found")
    assert await call(tools, "search_files", pattern="found") == "d/d/f:1: found"
    with pytest.raises(ToolError, match="folders lie on the way"):
        await call(tools, "read_file", path="d/" * 1000 + "f")
    with pytest.raises(ToolError, match="folders lie on the way"):
        await call(tools, "write_file", path="new/../" * 500 + "f", content="x")


async def test_a_search_ends_in_time_where_nothing_is_looked_into(
    tools: dict[str, Tool], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").mkdir()
    monkeypatch.setattr(file_tools, "SEARCH_SECONDS", -1.0)
    assert "stopped after" in await call(tools, "search_files", pattern="x", glob="*.none")


async def test_an_expression_that_is_none_is_told_to_the_model_alone(
    tools: dict[str, Tool], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ToolError, match=r"RE2 syntax\): missing \): \($"):
        await call(tools, "search_files", pattern="(")
    assert capfd.readouterr() == ("", "")


async def test_names_that_are_no_text_are_shown_as_far_as_they_go(tools: dict[str, Tool], folder: Path) -> None:
    (folder / os.fsdecode(b"b\xff\xe4\xb8\xad")).write_text("here")
    assert await call(tools, "list_directory") == r"b\xff中  4"
    assert await call(tools, "search_files", pattern="here") == r"b\xff中:1: here"


async def test_a_name_may_be_as_long_as_names_can_be(tools: dict[str, Tool], folder: Path) -> None:
    name = "中" * 85
    await call(tools, "write_file", path=name, content="x")
    assert os.listdir(folder) == [name]  # noqa: PTH208


HOOK_FILES = [
    "hooks.toml",
    "sub/hooks.toml",
    ".hookyard/x",
    ".atomcode/hooks/hooks.toml",
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".codex/hooks.json",
    ".codex/config.toml",
    ".gemini/settings.json",
    ".opencode/plugin/x.js",
    ".github/hooks/x.json",
    "HOOKS.TOML",
]


@pytest.mark.parametrize("path", HOOK_FILES)
async def test_hook_files_are_not_written(tools: dict[str, Tool], folder: Path, path: str) -> None:
    with pytest.raises(ToolError, match="configures hooks"):
        await call(tools, "write_file", path=path, content="x")
    with pytest.raises(ToolError, match="configures hooks"):
        await call(tools, "bash", command=f"echo x > {path}")
    assert os.listdir(folder) == []  # noqa: PTH208


async def test_hook_files_behind_a_link_are_not_written(tools: dict[str, Tool], folder: Path) -> None:
    (folder / ".claude").mkdir()
    (folder / "innocent").symlink_to(".claude")
    with pytest.raises(ToolError, match="configures hooks"):
        await call(tools, "write_file", path="innocent/settings.json", content="{}")


async def test_hook_files_may_be_read_and_are_written_when_allowed(folder: Path, tools: dict[str, Tool]) -> None:
    (folder / "hooks.toml").write_text("old")
    assert await call(tools, "read_file", path="hooks.toml") == "old"
    free = make_tools(
        SandboxedDirectory(folder, guard_hook_files=False), environment=ENVIRONMENT, guard_hook_files=False
    )
    await call(free, "write_file", path="hooks.toml", content="new")
    assert await call(free, "bash", command="cat hooks.toml") == "new"


def test_other_files_are_no_hook_files() -> None:
    for path in ("webhooks.toml.md", "src/hooks.py", ".claude/agents/x.md", "my.hookyard.txt"):
        assert not is_hook_file(path), path
    assert not names_hook_file("pytest tests/hooks && git log")


async def test_working_folder_below_our_own_folder_is_no_hook_file(tmp_path: Path) -> None:
    directory = tmp_path / ".hookyard" / "work"
    directory.mkdir(parents=True)
    tools = make_tools(SandboxedDirectory(directory), environment=ENVIRONMENT)
    assert await call(tools, "bash", command=f"ls {directory}") == "[no output]"
    await call(tools, "write_file", path=str(directory / "a"), content="x")


async def test_bash(tools: dict[str, Tool], folder: Path) -> None:
    assert await call(tools, "bash", command="pwd") == f"{folder}\n"
    with pytest.raises(ToolError) as caught:
        await call(tools, "bash", command="echo out; echo err >&2; exit 4")
    assert str(caught.value) == "out\n\n[stderr]\nerr\n\n[exit code 4]"
    with pytest.raises(ToolError, match=r"ended after 0\.2 s"):
        await call(tools, "bash", command="echo begun; sleep 60", timeout_seconds=0.2)
    with pytest.raises(ToolError, match="take that character out"):
        await call(tools, "bash", command="echo \0")
    assert len(await call(tools, "bash", command="head -c 10000000 /dev/zero | tr '\\0' x")) < 70_000


async def test_task_tools(folder: Path) -> None:
    workspace = FakeWorkspace()
    tools = make_tools(SandboxedDirectory(folder), environment=ENVIRONMENT, workspace=workspace)
    assert json.loads(await call(tools, "get_task", taskId="task-1"))["title"] == "Mend it"
    assert json.loads(await call(tools, "create_task", title="New"))["status"] == "todo"
    await call(tools, "update_task", task_id="task-1", status="done", assignee_id="usr_1")
    assert workspace.changes == [{"status": "done", "assigneeId": "usr_1"}]
    await call(tools, "comment_task", task_id="task-1", content="Done.")
    assert workspace.comments == [("task-1", "Done.")]
    with pytest.raises(ToolError, match="no task task-9"):
        await call(tools, "get_task", task_id="task-9")
    with pytest.raises(ToolError, match="Nothing to change"):
        await call(tools, "update_task", task_id="task-1")


@pytest.mark.parametrize("args", ["", "{}", "[]", "null", "nonsense", '{"command": 1}', '{"command": "x", "more": 1}'])
def test_arguments_that_do_not_fit_are_explained(tools: dict[str, Tool], args: str) -> None:
    with pytest.raises(ToolError, match="do not fit bash"):
        tools["bash"].check(args)


def test_huge_arguments_are_not_looked_at(tools: dict[str, Tool]) -> None:
    with pytest.raises(ToolError, match="too long"):
        tools["write_file"].check(" " * 3_000_000)


@given(st.lists(st.sampled_from(["..", ".", "a", "link", "deep", "", "up"]), max_size=12))
def test_no_path_leads_outside(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "walks"
    root = base / "root"
    if not root.exists():
        (root / "a/deep").mkdir(parents=True)
        (root / "link").symlink_to("a")
        (root / "a/up").symlink_to("..")
        (root / "up").symlink_to("..")
    try:
        with SandboxedDirectory(root).open_parent("/".join(parts)) as place:
            real = Path(f"/proc/self/fd/{place.parent}").readlink()
            assert real == root or root in real.parents
            assert (root / place.relative).parent.resolve() == (real if place.name != "." else real.parent)
    except ToolError:
        pass
