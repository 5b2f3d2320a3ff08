"""A fresh git worktree for one run, so that an agent works on a copy and what it made stays on a branch.

Entered by `runs.environments` for profiles with `worktree`. The agent can write to the worktree, and with a shell to
the repository too, so nothing of either decides what git does here: see `agents.repository`. What belongs to a worktree
is remembered in a file next to it before the agent starts, and not read from its `.git` afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from hookyard.agents.base import AgentError
from hookyard.agents.repository import Repository, common_dir, locate, opened, read_line
from hookyard.agents.snapshot import take

BRANCH_PREFIX = "hookyard/"

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class _Made:
    """What has to be known of a worktree to put it away.

    Attributes:
        at: Its folder.
        common: The repository's directory.
        admin: The repository's directory for this worktree.
        branch: The branch made for it.
        start: The commit it began with; `""` = not known, so that its branch stays.
        shown: The folder that notes name.
    """

    at: str
    common: str
    admin: str
    branch: str
    start: str
    shown: str


@asynccontextmanager
async def fresh_worktree(directory: Path, at: Path, name: str, note: Callable[[str], None]) -> AsyncIterator[Path]:
    """Create a worktree of the repository that holds a directory, on a new branch from its HEAD, and return it.

    On leaving, what was changed is committed to the branch and the worktree is taken away; a branch without any change
    is taken away as well.

    Args:
        directory: The repository, or a folder inside.
        at: Where the worktree is made; must not exist.
        name: Of the branch, after `hookyard/`.
        note: Receives where the work is.

    Yields:
        The same folder in the worktree.

    Raises:
        AgentError: The folder is in no git repository, or git failed.
    """
    branch = BRANCH_PREFIX + _UNSAFE.sub("-", name)
    made, inside = await asyncio.to_thread(_make, directory, at, branch)
    try:
        yield at / inside
    finally:
        # Whatever becomes of the run, its work is not lost; a second cancel waits for that too.
        await asyncio.shield(asyncio.to_thread(_clean_up, made, note))


async def clean_up_worktrees(at: Path, note: Callable[[str], None]) -> None:
    """Put away a worktree that a killed process left, as it would have done itself.

    What is on no other branch stays on its own; where git cannot save it, it is left where it is.

    Args:
        at: The worktree.
        note: Receives where the work is.
    """

    def work() -> None:
        try:
            made = _remembered(at) or _derived(at)
        except AgentError as error:
            note(f"the worktree {at} was left where it is: {error}")
            return
        _clean_up(made, note)

    await asyncio.to_thread(work)


def is_worktree(at: Path) -> bool:
    """Return whether a directory was created as a worktree."""
    return _record(at).is_file() or (at / ".git").is_file()


def _record(at: Path) -> Path:
    return at.with_name(f"{at.name}.worktree.json")


def _make(directory: Path, at: Path, branch: str) -> tuple[_Made, Path]:
    found = locate(directory)
    with opened(found.common) as repository:
        start, _ = repository.head_of(found.git_dir)
        if start is None:
            raise AgentError(
                f"the repository of {directory} has no commit",
                hint="make one, or take 'worktree' from the agent profile",
            )
        admin = found.common / "worktrees" / at.name
        made = _Made(str(at), str(found.common), str(admin), branch, start, str(directory))
        repository.git("update-ref", f"refs/heads/{branch}", start, "0" * len(start))
        _record(at).write_text(json.dumps(asdict(made)), encoding="utf-8")
        try:
            _check_out(repository, made)
        except (AgentError, OSError) as error:
            _remove(made)
            repository.git("update-ref", "-d", f"refs/heads/{branch}", start, codes=(0, 1, 128))
            if isinstance(error, OSError):
                raise AgentError(f"the worktree {at} could not be made: {error}") from error
            raise
    return made, found.inside


def _check_out(repository: Repository, made: _Made) -> None:
    """Make the worktree's files, and tie it to the repository for the git of the agent."""
    at, admin = Path(made.at), Path(made.admin)
    admin.mkdir(parents=True)
    at.mkdir(mode=0o700)
    (admin / "HEAD").write_text(f"ref: refs/heads/{made.branch}\n")
    (admin / "commondir").write_text("../..\n")
    (admin / "gitdir").write_text(f"{at}/.git\n")
    (at / ".git").write_text(f"gitdir: {admin}\n")
    repository.git("read-tree", made.start)
    repository.git("checkout-index", "--all", "--force", "--index", at=at)
    shutil.copyfile(repository.own / "index", admin / "index")


def _remembered(at: Path) -> _Made | None:
    try:
        made = _Made(**json.loads(_record(at).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return made if made.at == str(at) and not Path(made.common).is_relative_to(at) else None


def _derived(at: Path) -> _Made:
    """Return the record of a worktree that an earlier version left without one, derived from its `.git` file, which is
    only read.

    Raises:
        AgentError: It is no worktree of a repository elsewhere, or not on a branch of ours.
    """
    line = read_line(at / ".git")
    admin = Path(line.removeprefix("gitdir: "))
    common = common_dir(admin) if admin.is_absolute() and admin.is_dir() else at
    back = read_line(admin / "gitdir")
    if common.is_relative_to(at) or admin.parent != common / "worktrees" or back != str(at / ".git"):
        raise AgentError("its repository cannot be found", hint="see to it by hand")
    with opened(common) as repository:
        head, branch = repository.head_of(admin)
        short = branch.removeprefix("refs/heads/")
        if head is None or not short.startswith(BRANCH_PREFIX):
            raise AgentError(f"it is on the branch {short or 'of no name'}, which is none of ours")
        start = head if repository.branches_with(head) - {branch} else ""
    return _Made(str(at), str(common), str(admin), short, start, str(common))


def _clean_up(made: _Made, note: Callable[[str], None]) -> None:
    """Store the work, take the worktree away, and its branch too when nothing was changed."""
    try:
        with opened(Path(made.common)) as repository:
            changed = _keep(repository, made, note)
            _remove(made)
            if not changed:
                repository.git("update-ref", "-d", f"refs/heads/{made.branch}")
    except (AgentError, OSError) as error:
        note(f"the worktree {made.at} was left where it is: {error}")
        return
    if os.path.lexists(made.at):
        note(f"the worktree {made.at} could not be taken away; remove it by hand")
    if changed:
        note(f"the work is on branch {made.branch} of {made.shown}")


def _keep(repository: Repository, made: _Made, note: Callable[[str], None]) -> bool:
    """Put what the worktree holds on its branch; False when that is what it began with."""
    own = f"refs/heads/{made.branch}"
    tip = repository.commit_of(own)
    head, _ = repository.head_of(Path(made.admin))
    base = head or tip or made.start
    if not base:
        raise AgentError("its commits cannot be found")
    snapshot = take(repository, Path(made.at), base, Path(made.admin) / "index")
    commit = base
    if snapshot.tree != repository.tree_of(base):
        message = ["-p", base, "-m", f"Work of {made.branch}"]
        commit = repository.git("commit-tree", snapshot.tree, *message).decode().strip()
    if tip is not None and tip != commit and not repository.is_ancestor(tip, commit):
        repository.git("update-ref", f"{own}-earlier", tip)
        note(f"commits that the agent left behind are on branch {made.branch}-earlier of {made.shown}")
    repository.git("update-ref", own, commit)
    for path, kept_as in snapshot.nested:
        note(f"the nested repository {path} is kept as {kept_as} on branch {made.branch}, with its files beside it")
    return commit != made.start


def _remove(made: _Made) -> None:
    at, admin = Path(made.at), Path(made.admin)
    remove_folder(at)
    if admin.is_symlink():
        admin.unlink()
    else:
        remove_folder(admin)
    with contextlib.suppress(OSError):
        admin.parent.rmdir()
    if not os.path.lexists(at):
        _record(at).unlink(missing_ok=True)


def remove_folder(directory: Path) -> None:
    """Remove a folder with everything in it, read-only directories included, as far as that is possible."""
    shutil.rmtree(directory, ignore_errors=True)
    if not directory.is_dir() or directory.is_symlink():
        return
    with contextlib.suppress(OSError):
        directory.chmod(0o700)
    for where, directories, _ in os.walk(directory):  # from the top, so that each is open before it is entered
        for path in (Path(where), *(Path(where, name) for name in directories)):
            if not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)
