"""A git repository that an agent may have written to, used without running anything that it says.

Git obeys the configuration, hooks, attributes and `.git` of the folder in which it runs, and an agent can write all of
these. Here git runs with a git directory of hookyard's own, made for the purpose and removed afterwards: its
configuration and attributes are ours, and of the repository it sees the objects and the references only. Files are
checked out and stored byte for byte; filters such as git-lfs's never run, so that an LFS file is its pointer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hookyard.agents.base import AgentError

GIT_SECONDS = 120.0
"""For one git command; a large checkout takes its time."""

POINTER_BYTES = 4_096
"""Longest `.git` file, HEAD or commondir that is read."""

_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tbare = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\tfsmonitor = false
\tsymlinks = true
\tfileMode = true
\tlogAllRefUpdates = false
\tprotectHFS = true
\tprotectNTFS = true
\tautocrlf = false
[gc]
\tauto = 0
[protocol]
\tallow = never
[submodule]
\trecurse = false
"""
_ATTRIBUTES = "* -text -filter -ident -eol -working-tree-encoding -diff -merge -crlf -export-subst -export-ignore\n"
_HEX = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_BRANCH = re.compile(r"ref: (refs/heads/[^\0-\x20\x7f~^:?*\[\\]+)")


@dataclass(frozen=True, slots=True)
class Located:
    """Where a repository is.

    Attributes:
        common: Its directory with objects and references.
        git_dir: The directory with the HEAD of this checkout; another one in a linked worktree.
        inside: The way from the top of the checkout to the folder that was asked for.
    """

    common: Path
    git_dir: Path
    inside: Path


def locate(directory: Path) -> Located:
    """Find the repository that holds a folder, without git.

    Raises:
        AgentError: There is none.
    """
    directory = directory.resolve()
    for above in (directory, *directory.parents):
        git_dir = _git_dir(above / ".git")
        if git_dir is not None:
            return Located(common_dir(git_dir), git_dir, directory.relative_to(above))
    if _is_git_dir(directory):  # a bare repository
        return Located(directory, directory, Path())
    raise AgentError(
        f"the folder {directory} is in no git repository",
        hint="see that the folder of the agent profile is in a git repository with a commit",
    )


def common_dir(git_dir: Path) -> Path:
    """Return the directory with the objects and references of a git directory."""
    pointer = read_line(git_dir / "commondir")
    return (git_dir / pointer).resolve() if pointer else git_dir


def read_line(path: Path) -> str:
    """Return the one line of a small plain file; `""` where it is something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(POINTER_BYTES + 1)
    except OSError:
        return ""
    return "" if len(data) > POINTER_BYTES else os.fsdecode(data).rstrip("\r\n")


def _git_dir(pointer: Path) -> Path | None:
    line = read_line(pointer)
    if line.startswith("gitdir: "):
        pointer = pointer.parent / line.removeprefix("gitdir: ")
    pointer = pointer.resolve()
    return pointer if _is_git_dir(pointer) or (pointer / "commondir").is_file() else None


def _is_git_dir(directory: Path) -> bool:
    return (directory / "objects").is_dir() and os.path.lexists(directory / "HEAD")


class Repository:
    """Runs git on the objects and references of a repository. Made by `opened`."""

    def __init__(self, common: Path, own: Path) -> None:
        self.common = common
        self.own = own
        self._git = shutil.which("git") or ""
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(own),
            "XDG_CONFIG_HOME": str(own),
            "LC_ALL": "C",
            "GIT_DIR": str(own),
            "GIT_OBJECT_DIRECTORY": str(common / "objects"),
            "GIT_INDEX_FILE": str(own / "index"),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            **{f"GIT_{role}_NAME": "hookyard" for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": "hookyard@localhost" for role in ("AUTHOR", "COMMITTER")},
        }

    def git(
        self,
        *args: str,
        at: Path | None = None,
        given: bytes = b"",
        codes: tuple[int, ...] = (0,),
        more: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run git; return what it printed.

        Args:
            args: The command.
            at: The working tree, None for a command without one.
            given: Its input.
            codes: Exit codes that are no failure.
            more: Variables besides ours.

        Raises:
            AgentError: It failed.
        """
        environment = {**self._environment, **(more or {}), "GIT_WORK_TREE": str(at or self.own)}
        try:
            done = subprocess.run(  # noqa: S603 - git itself, with arguments of ours
                [self._git, *args],
                cwd=at or self.own,
                env=environment,
                input=given,
                capture_output=True,
                timeout=GIT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AgentError(f"git {args[0]} failed for {self.common}: {error}") from error
        if done.returncode not in codes:
            words = done.stderr.decode(errors="replace").strip()[:500]
            raise AgentError(
                f"git {args[0]} failed for {self.common}: {words}",
                hint="see that the folder of the agent profile is in a whole git repository (no partial clone) with a "
                "commit, and that no branch is called 'hookyard'",
            )
        return done.stdout

    def commit_of(self, name: str) -> str | None:
        """Return the id of the commit that a reference or an id names, None where it names none."""
        found = self.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", codes=(0, 1, 128))
        return found.decode().strip() or None

    def tree_of(self, commit: str) -> str:
        """Return the id of a commit's tree."""
        return self.git("rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip()

    def head_of(self, git_dir: Path) -> tuple[str | None, str]:
        """Read a HEAD as data: the commit, None where there is none, and the branch, `""` when detached."""
        line = read_line(git_dir / "HEAD")
        branch = _BRANCH.fullmatch(line)
        if branch is not None and ".." not in line:
            return self.commit_of(branch[1]), branch[1]
        return (self.commit_of(line), "") if _HEX.fullmatch(line) else (None, "")

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Return whether one commit is in the history of another."""
        return self.git("rev-list", "--count", f"{of}..{commit}").strip() == b"0"

    def branches_with(self, commit: str) -> set[str]:
        """Return the references of all branches whose history has a commit."""
        return set(self.git("for-each-ref", "--format=%(refname)", "--contains", commit, "refs/heads").decode().split())


@contextmanager
def opened(common: Path) -> Iterator[Repository]:
    """Open a repository by way of a git directory of our own, removed on leaving.

    Raises:
        AgentError: Git is not installed, or the repository stores its references in a way that is not known.
    """
    if shutil.which("git") is None:
        raise AgentError("git is not installed", hint="install it, or take 'worktree' from the agent profile")
    if (common / "reftable").is_dir():
        raise AgentError(
            f"the repository {common} keeps its references as reftable, which a worktree cannot be made of",
            hint="convert it: git refs migrate --ref-format=files",
        )
    own = Path(tempfile.mkdtemp(prefix="hookyard-git-"))
    try:
        (own / "info").mkdir()
        (own / "objects").mkdir()
        (own / "info" / "attributes").write_text(_ATTRIBUTES)
        (own / "HEAD").write_text("ref: refs/heads/none\n")
        for name in ("refs", "packed-refs", "shallow"):
            (own / name).symlink_to(common / name)
        (own / "config").write_text(_config(common, own))
        yield Repository(common, own)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _config(common: Path, own: Path) -> str:
    """Return our git configuration; of the repository's own only the object format is used."""
    reading = ["git", "config", "--file", str(common / "config"), "--no-includes", "extensions.objectformat"]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(own), "GIT_CONFIG_NOSYSTEM": "1"}
    environment |= {"GIT_DIR": str(own), "GIT_CONFIG_GLOBAL": "/dev/null"}
    found = subprocess.run(  # noqa: S603 - git itself; it reads one file
        reading, cwd=own, env=environment, capture_output=True, timeout=GIT_SECONDS, check=False
    )
    if found.stdout.strip().lower() != b"sha256":
        return _CONFIG.format(version=0)
    return _CONFIG.format(version=1) + "[extensions]\n\tobjectFormat = sha256\n"
