"""A fresh git worktree for one run, so that an agent works on a copy and what it made stays on a branch.

Entered by `runs.workplaces` for profiles with `worktree`. Nothing of the repository is run: its hooks and its file
system monitor are switched off, since an agent that worked there before could have set them.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from hookyard.agents.base import AgentError
from hookyard.agents.processes import Finished, child_environment, run

BRANCH_PREFIX = "hookyard/"
GIT_SECONDS = 120.0
"""For one git command; a large checkout takes its time."""

_QUIET = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false"),
    *("-c", "user.name=hookyard", "-c", "user.email=hookyard@localhost"),
)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@asynccontextmanager
async def fresh_worktree(folder: Path, at: Path, name: str, note: Callable[[str], None]) -> AsyncIterator[Path]:
    """A worktree of the repository that holds a folder, on a new branch from its HEAD.

    On leaving, what was changed is committed to the branch and the worktree is taken away; a branch without any change
    is taken away as well.

    Args:
        folder: The repository, or a folder inside.
        at: Where the worktree is made; must not exist.
        name: Of the branch, after `hookyard/`.
        note: Is told where the work is.

    Yields:
        The same folder in the worktree.

    Raises:
        AgentError: The folder is in no git repository, or git failed.
    """
    branch = BRANCH_PREFIX + _UNSAFE.sub("-", name)
    inside = (await _git(folder, "rev-parse", "--show-prefix")).strip()
    start = (await _git(folder, "rev-parse", "HEAD")).strip()
    await _git(folder, "worktree", "add", "--quiet", "-b", branch, str(at), start)
    try:
        yield at / inside
    finally:
        # Whatever becomes of the run, its work is not lost; a second cancel waits for that too.
        await asyncio.shield(_put_away(folder, at, branch, start, note))


async def put_away_left(at: Path, note: Callable[[str], None]) -> None:
    """Put away a worktree that a killed process left, as it would have done itself.

    What is on no other branch stays on its own; where git cannot save it, it is left where it is.

    Args:
        at: The worktree.
        note: Is told where the work is.
    """
    try:
        repository = Path((await _git(at, "rev-parse", "--path-format=absolute", "--git-common-dir")).strip())
        branch = (await _git(at, "symbolic-ref", "--short", "HEAD")).strip()
        holding = await _git(at, "for-each-ref", "--format=%(refname:short)", "--contains", "HEAD", "refs/heads")
        head = (await _git(at, "rev-parse", "HEAD")).strip()
    except AgentError as error:
        note(f"the worktree {at} was left where it is: {error}")
        return
    if not branch.startswith(BRANCH_PREFIX):
        note(f"the worktree {at} was left where it is: it is on the branch {branch}, which is none of ours")
        return
    elsewhere = set(holding.split()) - {branch}
    await _put_away(repository, at, branch, head if elsewhere else "", note)


async def _put_away(folder: Path, at: Path, branch: str, start: str, note: Callable[[str], None]) -> None:
    """Commit, take the worktree away, and its branch too when that is still where it started."""
    try:
        await _git(at, "add", "--all")
        if await _git(at, "status", "--porcelain"):
            await _git(at, "commit", "--quiet", "--no-verify", "--message", f"Work of {branch}")
        changed = (await _git(at, "rev-parse", "HEAD")).strip() != start
        await _git(folder, "worktree", "remove", "--force", str(at))
    except AgentError as error:
        note(f"the worktree {at} was left where it is: {error}")
        return
    if changed:
        note(f"the work is on branch {branch} of {folder}")
    else:
        await _git(folder, "branch", "--quiet", "-D", branch)


async def _git(folder: Path, *args: str) -> str:
    if shutil.which("git") is None:
        raise AgentError("git is not installed", mend="install it, or take 'worktree' from the agent profile")
    finished: Finished = await run(
        ["git", *_QUIET, *args],
        working_dir=folder,
        environment=child_environment((), os.environ) | {"GIT_TERMINAL_PROMPT": "0"},
        timeout_seconds=GIT_SECONDS,
    )
    if finished.code:
        raise AgentError(
            f"git {args[0]} failed in {folder}: {finished.stderr.strip()[:500]}",
            mend="see that the folder of the agent profile is in a git repository with a commit",
        )
    return finished.stdout
