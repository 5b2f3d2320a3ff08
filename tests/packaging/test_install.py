"""The package as others install it: contents, the light install, extras, floors, and third parties' plugins."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from hookyard.cli.extras import MODULES, NEEDED, require_extras
from hookyard.cli.main import COMMANDS
from tests.packaging.conftest import Environment, new_environment

pytestmark = [pytest.mark.package, pytest.mark.xdist_group("package")]

# -- contents ----------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_what_the_code_reads(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "hookyard/py.typed",
        "hookyard/core/messages/en/common.toml",
        "hookyard/core/messages/zh-CN/common.toml",
        "hookyard/conditions/prelude.js",
        "hookyard/bridge/dialects/opencode.js",
        "hookyard/web/static/app.js",
        "hookyard/web/templates/base.html",
        "hookyard/web/texts/zh-CN.toml",
        "hookyard/cli/demo/script.json",
        "hookyard/testing/receiver.py",
    ):
        assert name in names, name
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"hookyard"}


def test_the_sdist_is_lean(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not [name for name in names if name.startswith(("tests/", "docs/", "benchmarks/", "uv.lock"))]
    assert {"README.md", "LICENSE", "pyproject.toml", "src/hookyard/__init__.py"} <= names
    assert sdist.stat().st_size < 2_000_000


# -- the light install -------------------------------------------------------------------------------------------------

_IMPORTS = """
import sys
from hookyard import Hooks
from hookyard.testing import Receiver
heavy = {"fastapi", "sqlalchemy", "starlette", "pydantic", "pydantic_ai", "uvicorn", "alembic"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_hooks_are_imported_without_the_server_s_libraries(light: Environment, tmp_path: Path) -> None:
    done = light.run("python", "-c", _IMPORTS, home=tmp_path)
    assert done.returncode == 0, done.stderr


_GATE = """
import asyncio, sys
from pathlib import Path
from hookyard import Hooks
from hookyard.testing import Receiver, webhook_entry

async def main():
    async with Receiver.running() as receiver:
        receiver.answer({"result": "deny", "message": "not today"})
        home = Path(sys.argv[1])
        home.mkdir()
        (home / "hooks.toml").write_text(webhook_entry("gate", "pre_tool", receiver.url(), on_failure="deny"))
        async with Hooks.load(home=home, environ={}) as hooks:
            decision = await hooks.fire("pre_tool", tool_name="bash", tool_args='{"command": "ls"}', session_id="s")
        assert decision.denied and decision.message == "not today", decision
        assert receiver.at()[0].body["context"]["tool_name"] == "bash"

asyncio.run(main())
"""


def test_a_gate_works_in_the_light_install(light: Environment, tmp_path: Path) -> None:
    done = light.run("python", "-c", _GATE, str(tmp_path / "hooks"), home=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["hooks list", "hooks check", "bridge status", "--help", "bridge --help"])
def test_commands_of_the_light_install_work(light: Environment, tmp_path: Path, command: str) -> None:
    done = light.run("hookyard", *command.split(), home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("command", "extra"), [(name, extras) for name, extras in NEEDED.items() if name != "-p"])
def test_a_command_names_the_extra_that_it_lacks(
    light: Environment, tmp_path: Path, command: str, extra: tuple[str, ...]
) -> None:
    done = light.run("hookyard", command, home=tmp_path)
    name = extra[0] if len(extra) == 1 else "all"
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    for way in (f"pip install 'hookyard[{name}]'", f"uv tool install 'hookyard[{name}]'", f"uv add 'hookyard[{name}]'"):
        assert way in done.stderr


def test_a_prompt_names_the_extra_in_chinese(light: Environment, tmp_path: Path) -> None:
    done = light.run("hookyard", "-p", "hi", home=tmp_path, HOOKYARD_LANG="zh-CN")
    assert done.returncode == 1
    assert "需要附加组件" in done.stderr
    assert "pip install 'hookyard[agent]'" in done.stderr


def test_every_command_knows_its_extras() -> None:
    assert set(NEEDED) - {"-p"} <= set(COMMANDS)
    assert {extra for extras in NEEDED.values() for extra in extras} == set(MODULES)
    for command in NEEDED:
        require_extras(command)  # the development environment has them all


# -- floors ------------------------------------------------------------------------------------------------------------


def test_the_lowest_versions_that_are_allowed_work(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    lowest = new_environment(tmp_path_factory.mktemp("lowest") / "venv")
    lowest.install(str(wheel), options=["--resolution", "lowest-direct"])
    for arguments in (["-c", _IMPORTS], ["-c", _GATE, str(tmp_path / "hooks")]):
        done = lowest.run("python", *arguments, home=tmp_path)
        assert done.returncode == 0, done.stderr
    assert lowest.run("hookyard", "hooks", "check", home=tmp_path).returncode == 0


# -- third parties -----------------------------------------------------------------------------------------------------

_PROJECT = """
[project]
name = "acme-hookyard"
version = "1.0"

[project.entry-points."hookyard.formats"]
acme = "acme_hookyard:FORMAT"
broken = "acme_hookyard.broken:FORMAT"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""

_FORMAT = '''
"""A chat format of a third party."""

from hookyard.hooks.formats.base import GOOD, DeliveryVerdict, ReplyJudgement, json_request


class Acme:
    name = "acme"
    chat = True
    rates = ()

    def matches(self, url):
        return "acme.example" in url

    def build(self, body, target):
        return json_request(target.url, {"acme": body["event"]})

    def judge(self, status, headers, body, now):
        return GOOD if status == 200 else ReplyJudgement(DeliveryVerdict.RETRY, f"HTTP {status}")


FORMAT = Acme()
'''

_FIRE = """
import asyncio, sys
from pathlib import Path
from hookyard import Hooks
from hookyard.testing import Receiver, webhook_entry

async def main():
    async with Receiver.running() as receiver:
        home = Path(sys.argv[1])
        home.mkdir()
        (home / "hooks.toml").write_text(
            webhook_entry("chat", "pre_tool", receiver.url(), format="acme")
            + webhook_entry("closed", "pre_tool", receiver.url("/never"), format="broken", on_failure="deny")
        )
        async with Hooks.load(home=home, environ={}) as hooks:
            decision = await hooks.fire("pre_tool", tool_name="bash", tool_args="{}", session_id="s")
            assert decision.denied, "a gate whose format cannot be imported is closed"
            decision = await hooks.fire("session_start", session_id="s")
        assert [r.body for r in receiver.at()] == [{"acme": "pre_tool_execution"}], receiver.requests
        assert not receiver.at("/never")

asyncio.run(main())
"""


def test_a_format_of_a_third_party_is_found_and_a_broken_one_is_named(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    project = tmp_path / "acme"
    (project / "acme_hookyard").mkdir(parents=True)
    (project / "pyproject.toml").write_text(_PROJECT)
    (project / "acme_hookyard" / "__init__.py").write_text(_FORMAT)
    (project / "acme_hookyard" / "broken.py").write_text("raise RuntimeError('no such library')\n")
    environment = new_environment(tmp_path_factory.mktemp("third") / "venv")
    environment.install(str(wheel), str(project))
    done = environment.run("python", "-c", _FIRE, str(tmp_path / "hooks"), home=tmp_path)
    assert done.returncode == 0, done.stderr
    checked = environment.run("hookyard", "hooks", "check", home=tmp_path)
    assert "the plugin broken (acme_hookyard.broken:FORMAT) cannot be imported" in checked.stdout + checked.stderr
    assert "RuntimeError: no such library" in checked.stdout + checked.stderr
