"""Git that is used for worktrees runs nothing that an agent wrote, and keeps all ordinary work."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hookyard.agents.sandboxed_directory import SandboxedDirectory
from hookyard.agents.session import ToolError
from hookyard.agents.worktree import clean_up_worktrees, fresh_worktree

HOOKS = (
    *("applypatch-msg", "pre-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg", "commit-msg"),
    *("post-commit", "post-checkout", "post-merge", "post-index-change", "reference-transaction", "post-rewrite"),
    *("pre-auto-gc", "fsmonitor-watchman", "pre-rebase", "pre-push", "update", "push-to-checkout"),
)
PROGRAM_KEYS = (
    *("core.sshCommand", "core.pager", "core.editor", "core.gitProxy", "core.askPass", "sequence.editor"),
    *("gpg.program", "credential.helper", "diff.external", "pager.status", "alias.status", "merge.x.driver"),
    *(
        "diff.x.textconv",
        "diff.x.command",
        "submodule.m.update",
        "remote.origin.uploadpack",
        "uploadpack.packObjectsHook",
    ),
)


def git(directory: Path, *args: str) -> str:
    argv = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always", *args]
    return subprocess.run(argv, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


class Scene:
    """A repository, a worktree of it with an agent at work, and the canary that its program leaves."""

    def __init__(self, tmp_path: Path) -> None:
        self.repository = tmp_path / "repository"
        self.at = tmp_path / "at"
        self.canary = tmp_path / "canary"
        self.program = tmp_path / "program.sh"
        self.program.write_text(f"#!/bin/sh\necho $0 $* >> {self.canary}\ncat\n")
        self.program.chmod(0o755)

    def config(self, path: Path, *pairs: str) -> None:
        for pair in pairs:
            key, _, value = pair.partition("=")
            subprocess.run(["git", "config", "--file", str(path), "--add", key, value], check=True)

    def evil_git(self, path: Path) -> Path:
        """A git directory whose configuration runs the program at every occasion."""
        for name in ("objects/info", "refs/heads", "hooks", "info"):
            (path / name).mkdir(parents=True)
        (path / "HEAD").write_text("ref: refs/heads/x\n")
        (path / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
        self.filters(path / "config")
        self.hooks(path / "hooks")
        (path / "info/attributes").write_text("* filter=x diff=x merge=x\n")
        return path

    def filters(self, config: Path) -> None:
        program = self.program
        pairs = [f"{name}={program}" for name in PROGRAM_KEYS]
        pairs += [f"filter.x.{name}={program}" for name in ("clean", "smudge", "process")]
        pairs += [f"core.fsmonitor={program}", f"core.hooksPath={config.parent / 'hooks'}", "filter.x.required=true"]
        self.config(config, *pairs)

    def hooks(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for name in HOOKS:
            shutil.copy(self.program, directory / name)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    (scene.repository / "sub").mkdir(parents=True)
    for name in ("file", "sub/old", "gone", "moved"):
        (scene.repository / name).write_text(f"{name}\n")
    git(scene.repository, "init", "--quiet", "--initial-branch=main")
    git(scene.repository, "add", "--all")
    git(scene.repository, "commit", "--quiet", "--message", "first")
    return scene


def pointer_to_an_evil_directory(scene: Scene) -> None:
    scene.evil_git(scene.at / "evil")
    (scene.at / ".git").write_text("gitdir: evil\n")
    (scene.at / ".gitattributes").write_text("* filter=x\n")


def directory_in_place_of_the_pointer(scene: Scene) -> None:
    (scene.at / ".git").unlink()
    scene.evil_git(scene.at / ".git")
    (scene.at / ".gitattributes").write_text("* filter=x\n")


def link_in_place_of_the_pointer(scene: Scene) -> None:
    scene.evil_git(scene.at / "evil")
    (scene.at / ".git").unlink()
    (scene.at / ".git").symlink_to("evil")


def filters_in_the_common_configuration(scene: Scene) -> None:
    scene.filters(scene.repository / ".git/config")
    (scene.at / ".gitattributes").write_text("* filter=x diff=x merge=x\n")


def attributes_of_the_common_directory(scene: Scene) -> None:
    scene.filters(scene.repository / ".git/config")
    (scene.repository / ".git/info").mkdir(exist_ok=True)
    (scene.repository / ".git/info/attributes").write_text("* filter=x\n")


def attributes_in_a_directory(scene: Scene) -> None:
    scene.filters(scene.repository / ".git/config")
    (scene.at / "sub/.gitattributes").write_text("old filter=x\n*.new filter=x\n")
    (scene.at / "sub/a.new").write_text("new")


def included_configuration(scene: Scene) -> None:
    scene.filters(scene.at / "included")
    scene.config(scene.repository / ".git/config", f"include.path={scene.at / 'included'}")
    scene.config(scene.repository / ".git/config", f"includeIf.gitdir:/**.path={scene.at / 'included'}")
    (scene.at / ".gitattributes").write_text("* filter=x\n")


def configuration_of_the_worktree(scene: Scene) -> None:
    scene.config(scene.repository / ".git/config", "core.repositoryformatversion=1", "extensions.worktreeConfig=true")
    scene.filters(scene.repository / ".git/worktrees/at/config.worktree")
    (scene.at / ".gitattributes").write_text("* filter=x\n")


def another_common_directory(scene: Scene) -> None:
    scene.evil_git(scene.at / "evil")
    (scene.repository / ".git/worktrees/at/commondir").write_text(f"{scene.at / 'evil'}\n")
    (scene.at / ".gitattributes").write_text("* filter=x\n")


def another_work_tree(scene: Scene) -> None:
    scene.filters(scene.repository / ".git/config")
    scene.config(scene.repository / ".git/config", f"core.worktree={scene.at.parent}")


def hooks_of_every_name(scene: Scene) -> None:
    scene.hooks(scene.repository / ".git/hooks")


def configuration_of_the_account(scene: Scene) -> None:
    home = Path(os.environ["HOME"])
    scene.filters(home / ".gitconfig")
    (home / ".config/git").mkdir(parents=True)
    scene.filters(home / ".config/git/config")
    (home / ".config/git/attributes").write_text("* filter=x\n")


def nested_repository(scene: Scene) -> None:
    scene.evil_git(scene.at / "app/.git")
    (scene.at / "app/main.py").write_text("x")


def nested_repository_with_commits(scene: Scene) -> None:
    app = scene.at / "app"
    app.mkdir()
    (app / "main.py").write_text("x")
    git(app, "init", "--quiet")
    git(app, "add", "--all")
    git(app, "commit", "--quiet", "--message", "nested")
    scene.filters(app / ".git/config")
    scene.hooks(app / ".git/hooks")
    (app / ".gitattributes").write_text("* filter=x\n")


def nested_bare_repository(scene: Scene) -> None:
    scene.evil_git(scene.at / "bare.git")


def gitlink_in_the_index(scene: Scene) -> None:
    nested_repository_with_commits(scene)
    git(scene.at, "-c", "core.fsmonitor=false", "add", "app")
    scene.canary.unlink(missing_ok=True)  # that was the agent's own git, under its own gate


def submodule(scene: Scene) -> None:
    nested_repository_with_commits(scene)
    (scene.at / ".gitmodules").write_text('[submodule "m"]\n\tpath = app\n\turl = ext::sh -c id\n\tupdate = !id\n')


def sparse_checkout(scene: Scene) -> None:
    git(scene.at, "sparse-checkout", "set", "--no-cone", "/file", "/made")
    scene.filters(scene.repository / ".git/config")
    assert not (scene.at / "sub/old").exists()


def broken_index(scene: Scene) -> None:
    scene.filters(scene.repository / ".git/config")
    (scene.repository / ".git/worktrees/at/index").write_bytes(b"DIRC\0\0\0\2nonsense")


def promisor_remote(scene: Scene) -> None:
    scene.config(scene.repository / ".git/config", "core.repositoryformatversion=1", "extensions.partialClone=origin")
    scene.config(
        scene.repository / ".git/config", f"remote.origin.url=ext::{scene.program}", "remote.origin.promisor=true"
    )


ATTACKS = [
    pointer_to_an_evil_directory,
    directory_in_place_of_the_pointer,
    link_in_place_of_the_pointer,
    filters_in_the_common_configuration,
    attributes_of_the_common_directory,
    attributes_in_a_directory,
    included_configuration,
    configuration_of_the_worktree,
    another_common_directory,
    another_work_tree,
    hooks_of_every_name,
    configuration_of_the_account,
    nested_repository,
    nested_repository_with_commits,
    nested_bare_repository,
    gitlink_in_the_index,
    submodule,
    sparse_checkout,
    broken_index,
    promisor_remote,
]


def tree(scene: Scene, branch: str) -> list[str]:
    """Names on a branch, read with a configuration that is not the attacked one."""
    objects = {"GIT_DIR": str(scene.repository / ".git"), "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}
    argv = [
        "git",
        "--no-pager",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.quotePath=false",
        "ls-tree",
        "-r",
        "--name-only",
        branch,
    ]
    done = subprocess.run(argv, env={**os.environ, **objects}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def content(scene: Scene, branch: str, path: str) -> bytes:
    argv = ["git", "--no-pager", "cat-file", "blob", f"{branch}:{path}"]
    return subprocess.run(argv, cwd=scene.repository, capture_output=True, check=True).stdout


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("ending", ["put away", "left"])
async def test_nothing_that_the_agent_wrote_runs_and_its_work_is_kept(
    scene: Scene, attack: Callable[[Scene], None], ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    notes: list[str] = []
    worktree = fresh_worktree(scene.repository, scene.at, "run", notes.append)
    await worktree.__aenter__()
    (scene.at / "made").write_text("by the agent")
    attack(scene)
    if ending == "put away":
        await worktree.__aexit__(None, None, None)
    else:
        await clean_up_worktrees(scene.at, notes.append)
    assert not scene.canary.exists(), scene.canary.read_text()
    assert not scene.at.exists()
    assert notes[-1].startswith("the work is on branch hookyard/run"), notes
    assert content(scene, "hookyard/run", "made") == b"by the agent"
    assert {"file", "sub/old", "gone", "moved"} <= set(tree(scene, "hookyard/run"))
    # The next run begins in the repository that the attack changed.
    async with fresh_worktree(scene.repository, tmp_path / "next", "next", notes.append) as directory:
        assert (directory / "sub/old").read_text() == "sub/old\n"
    assert not scene.canary.exists(), scene.canary.read_text()


async def test_the_canary_sings_for_an_unguarded_git(scene: Scene) -> None:
    async with fresh_worktree(scene.repository, scene.at, "run", lambda _: None):
        pointer_to_an_evil_directory(scene)
        await asyncio.to_thread(subprocess.run, ["git", "add", "file"], cwd=scene.at, capture_output=True)
        assert scene.canary.exists()


async def test_a_nested_repository_is_kept_as_files_and_it_is_said_where(scene: Scene) -> None:
    notes: list[str] = []
    async with fresh_worktree(scene.repository, scene.at, "run", notes.append):
        nested_repository_with_commits(scene)
        (scene.at / "app/dot-git").write_text("taken")
    names = tree(scene, "hookyard/run")
    assert {"app/main.py", "app/dot-git", "app/dot-git-2/HEAD", "app/dot-git-2/config"} <= set(names)
    assert notes[0] == (
        "the nested repository app/.git is kept as app/dot-git-2 on branch hookyard/run, with its files beside it"
    )


@pytest.mark.parametrize("name", [".GIT", "git~1", ".git ", ".git.", ".g\u200cit", ".git:x", "a\\\\.git", ".Git\ufeff"])
async def test_names_that_a_file_system_takes_for_git_are_kept_escaped(scene: Scene, name: str) -> None:
    async with fresh_worktree(scene.repository, scene.at, "run", lambda _: None):
        scene.evil_git(scene.at / name)
        (scene.at / "made").write_text("x")
    assert {"made", "dot-git/HEAD", "dot-git/config"} <= set(tree(scene, "hookyard/run"))
    assert not scene.canary.exists()


async def test_without_a_record_a_pointer_to_an_evil_directory_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    notes: list[str] = []
    await fresh_worktree(scene.repository, scene.at, "run", notes.append).__aenter__()
    pointer_to_an_evil_directory(scene)
    (scene.at / ".git").write_text(f"gitdir: {scene.at}/evil\n")
    (tmp_path / "at.worktree.json").unlink()
    await clean_up_worktrees(scene.at, notes.append)
    assert notes[0].startswith(f"the worktree {scene.at} was left where it is")
    assert (scene.at / "file").exists()
    assert not scene.canary.exists()


async def test_ordinary_work_is_kept(scene: Scene) -> None:
    big = os.urandom(3_000_000)
    strange = 'a"b\\c\nd\té.txt'
    async with fresh_worktree(scene.repository, scene.at, "run", lambda _: None):
        (scene.at / "file").write_text("edited\r\n")
        (scene.at / "gone").unlink()
        (scene.at / "moved").rename(scene.at / "sub/moved")
        (scene.at / "sub/old").chmod(0o755)
        (scene.at / "link").symlink_to("sub/old")
        (scene.at / "out").symlink_to("/etc/passwd")
        (scene.at / "big.bin").write_bytes(big)
        (scene.at / strange).write_text("strange")
        (scene.at / ".gitignore").write_text("*.log\nbuild/\n")
        (scene.at / "a.log").write_text("ignored")
        (scene.at / "build").mkdir()
        (scene.at / "build/x").write_text("ignored")
        (scene.at / "forced.log").write_text("forced")
        git(scene.at, "add", "--force", "forced.log")
        os.mkfifo(scene.at / "fifo")
    listing = git(scene.repository, "-c", "core.quotePath=false", "ls-tree", "-r", "-z", "hookyard/run").split("\0")
    modes = {line.partition("\t")[2]: line.split()[0] for line in listing if line}
    assert modes == {
        ".gitignore": "100644",
        "big.bin": "100644",
        "file": "100644",
        "forced.log": "100644",
        "link": "120000",
        "out": "120000",
        "sub/moved": "100644",
        "sub/old": "100755",
        strange: "100644",
    }
    assert content(scene, "hookyard/run", "big.bin") == big
    assert content(scene, "hookyard/run", "file") == b"edited\r\n"
    assert content(scene, "hookyard/run", "out") == b"/etc/passwd"
    assert git(scene.repository, "worktree", "list").count("\n") == 0
    assert git(scene.repository, "fsck", "--strict") == ""


async def test_the_agents_own_git_sees_a_clean_worktree(scene: Scene) -> None:
    async with fresh_worktree(scene.repository / "sub", scene.at, "run", lambda _: None) as directory:
        assert git(directory, "status", "--porcelain") == ""
        assert git(directory, "branch", "--show-current") == "hookyard/run"
        assert str(scene.at) in git(scene.repository, "worktree", "list")


@pytest.mark.parametrize("where", ["detached", "another branch", "rebased away"])
async def test_commits_are_kept_wherever_the_agent_made_them(scene: Scene, where: str) -> None:
    notes: list[str] = []
    async with fresh_worktree(scene.repository, scene.at, "run", notes.append):
        if where == "rebased away":
            (scene.at / "first").write_text("x")
            git(scene.at, "add", "--all")
            git(scene.at, "commit", "--quiet", "--message", "left behind")
            git(scene.at, "checkout", "--quiet", "--detach", "HEAD~1")
        else:
            git(scene.at, "checkout", "--quiet", *(["--detach"] if where == "detached" else ["-b", "feature"]))
        (scene.at / "committed").write_text("x")
        git(scene.at, "add", "--all")
        git(scene.at, "commit", "--quiet", "--message", "mine")
        (scene.at / "loose").write_text("x")
    assert {"committed", "loose"} <= set(tree(scene, "hookyard/run"))
    assert git(scene.repository, "log", "--format=%s", "hookyard/run") == "Work of hookyard/run\nmine\nfirst"
    if where == "rebased away":
        assert "first" in tree(scene, "hookyard/run-earlier")
        assert "hookyard/run-earlier" in notes[0]


async def test_a_repository_with_lfs_gives_pointers_and_keeps_them(scene: Scene) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    (scene.repository / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (scene.repository / "a.bin").write_text(pointer)
    git(scene.repository, "add", "--all")
    git(scene.repository, "commit", "--quiet", "--message", "lfs")
    scene.config(scene.repository / ".git/config", f"filter.lfs.process={scene.program}", "filter.lfs.required=true")
    async with fresh_worktree(scene.repository, scene.at, "run", lambda _: None) as directory:
        assert (directory / "a.bin").read_text() == pointer
        (directory / "b.bin").write_bytes(b"\0raw")
    assert content(scene, "hookyard/run", "a.bin").decode() == pointer
    assert content(scene, "hookyard/run", "b.bin") == b"\0raw"
    assert not scene.canary.exists()


async def test_a_submodule_that_was_not_fetched_stays_one(scene: Scene) -> None:
    commit = git(scene.repository, "rev-parse", "HEAD")
    git(scene.repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    git(scene.repository, "commit", "--quiet", "--message", "module")
    async with fresh_worktree(scene.repository, scene.at, "run", lambda _: None) as directory:
        (directory / "made").write_text("x")
    assert f"160000 commit {commit}\tmodule" in git(scene.repository, "ls-tree", "hookyard/run")


@pytest.mark.parametrize("kind", ["sha256", "packed", "shallow", "bare", "linked"])
async def test_repositories_of_other_kinds(scene: Scene, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    if kind == "sha256":
        git(tmp_path, "init", "--quiet", "--object-format=sha256", str(other))
        (other / "file").write_text("file\n")
        git(other, "add", "--all")
        git(other, "commit", "--quiet", "--message", "first")
    elif kind == "packed":
        git(scene.repository, "gc", "--quiet")
        other = scene.repository
    elif kind == "linked":
        git(scene.repository, "worktree", "add", "--quiet", "--detach", str(other))
    else:
        option = "--depth=1" if kind == "shallow" else "--bare"
        git(tmp_path, "clone", "--quiet", option, f"file://{scene.repository}", str(other))
    async with fresh_worktree(other, tmp_path / "at", "run", lambda _: None) as directory:
        assert (directory / "file").read_text() == "file\n"
        (directory / "made").write_text("x")
    assert git(other, "show", "hookyard/run:made") == "x"


PATHS = [".git", ".git/config", ".GIT/hooks/pre-commit", "sub/.git", "sub/.git/config", "new/.git/HEAD", "git~1/config"]


@pytest.mark.parametrize("path", [*PATHS, "./.git", "sub/../.git/x", "link/config"])
def test_the_file_tools_do_not_write_what_git_reads(scene: Scene, path: str) -> None:
    (scene.repository / "link").symlink_to(".git")
    before = sorted(str(one) for one in scene.repository.rglob("*"))
    for guarded in (True, False):
        with pytest.raises(ToolError, match="belongs to git"):
            SandboxedDirectory(scene.repository, guard_hook_files=guarded).write(path, b"x")
    assert sorted(str(one) for one in scene.repository.rglob("*")) == before
    SandboxedDirectory(scene.repository).write(".gitignore", b"x")


async def test_a_worktree_that_cannot_be_made_leaves_nothing(scene: Scene) -> None:
    git(scene.repository, "branch", "hookyard")
    with pytest.raises(Exception, match="no branch is called 'hookyard'"):
        async with fresh_worktree(scene.repository, scene.at, "run", lambda _: None):
            raise AssertionError
    assert not await asyncio.to_thread(scene.at.exists)
