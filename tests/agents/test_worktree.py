"""A worktree of its own for a run: what was made stays on a branch, what was there stays as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hookyard.agents.base import AgentError
from hookyard.agents.worktree import clean_up_worktrees, fresh_worktree


def git(directory: Path, *args: str) -> str:
    argv = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *args]
    return subprocess.run(argv, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    (directory / "sub").mkdir(parents=True)
    (directory / "sub/file").write_text("old")
    git(directory, "init", "--quiet", "--initial-branch=main")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "first")
    return directory


async def test_work_is_kept_on_a_branch(repository: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    at = tmp_path / "at"
    async with fresh_worktree(repository / "sub", at, "run_1", notes.append) as directory:
        assert directory == at / "sub"
        (directory / "file").write_text("new")
        (directory / "more").write_text("more")
    assert not at.exists()
    assert (repository / "sub/file").read_text() == "old"
    assert git(repository, "show", "hookyard/run_1:sub/file") == "new"
    assert git(repository, "show", "hookyard/run_1:sub/more") == "more"
    assert notes == [f"the work is on branch hookyard/run_1 of {repository / 'sub'}"]
    assert git(repository, "status", "--porcelain") == ""


async def test_commits_of_the_agent_are_kept_too_after_a_failure(repository: Path, tmp_path: Path) -> None:
    async def fail() -> None:
        async with fresh_worktree(repository, tmp_path / "at", "run 1:2", lambda _: None) as directory:
            (directory / "made").write_text("x")
            git(directory, "add", "--all")
            git(directory, "commit", "--quiet", "--message", "mine")
            raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        await fail()
    assert git(repository, "log", "--format=%s", "hookyard/run-1-2") == "mine\nfirst"


async def test_nothing_changed_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    async with fresh_worktree(repository, tmp_path / "at", "run_1", notes.append):
        pass
    assert git(repository, "branch", "--list", "hookyard/*") == ""
    assert git(repository, "worktree", "list").count("\n") == 0
    assert notes == []


async def test_hooks_of_the_repository_do_not_run(repository: Path, tmp_path: Path) -> None:
    for name in ("post-checkout", "pre-commit", "post-commit"):
        hook = repository / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
    async with fresh_worktree(repository, tmp_path / "at", "run_1", lambda _: None) as directory:
        (directory / "made").write_text("x")
    assert not (tmp_path / "ran").exists()


async def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="in no git repository"):
        async with fresh_worktree(tmp_path, tmp_path / "at", "run_1", lambda _: None):
            raise AssertionError


async def test_a_worktree_that_a_killed_process_left_is_saved_and_taken_away(repository: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    changed, same = tmp_path / "changed", tmp_path / "same"
    for at in (changed, same):
        git(repository, "worktree", "add", "--quiet", "-b", f"hookyard/{at.name}", str(at))
    (changed / "sub/file").write_text("new")
    for at in (changed, same):
        await clean_up_worktrees(at, notes.append)
        assert not at.exists()
    assert git(repository, "show", "hookyard/changed:sub/file") == "new"
    assert git(repository, "branch", "--list", "hookyard/same") == ""
    assert notes == [f"the work is on branch hookyard/changed of {repository / '.git'}"]


async def test_commits_in_a_worktree_that_was_left_are_kept(repository: Path, tmp_path: Path) -> None:
    at = tmp_path / "at"
    git(repository, "worktree", "add", "--quiet", "-b", "hookyard/at", str(at))
    (at / "made").write_text("x")
    git(at, "add", "--all")
    git(at, "commit", "--quiet", "--message", "mine")
    await clean_up_worktrees(at, lambda _: None)
    assert git(repository, "show", "hookyard/at:made") == "x"


@pytest.mark.parametrize("what", ["on a branch of the user's", "without its repository"])
async def test_a_worktree_that_cannot_be_saved_stays_and_it_is_said(
    repository: Path, tmp_path: Path, what: str
) -> None:
    notes: list[str] = []
    at = tmp_path / "at"
    git(repository, "worktree", "add", "--quiet", "-b", "mine" if "branch" in what else "hookyard/at", str(at))
    (at / "made").write_text("x")
    if "repository" in what:
        repository.rename(tmp_path / "moved")  # noqa: ASYNC240
    await clean_up_worktrees(at, notes.append)
    assert (at / "made").read_text() == "x"
    assert notes[0].startswith(f"the worktree {at} was left where it is")
