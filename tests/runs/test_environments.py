"""Where runs are done: profiles are found, folders come and go, a closed gate keeps out what cannot be gated."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from hookyard.agents.base import AgentError, Parts, WorkspaceTools
from hookyard.core.clock import SystemClock
from hookyard.core.ids import CallbackId, ConversationId, EventId, Ids, RunId, WorkspaceId
from hookyard.events.model import NO_CAUSE
from hookyard.hooks.delivery.delivery_log import NoLog
from hookyard.hooks.hooks import server_sender
from hookyard.hooks.points import Point
from hookyard.identity.tokens import Tokens
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.environments import ProfileEnvironments
from hookyard.runs.tokens import RunTokenIssuer
from hookyard.runs.workspace_hooks import WorkspaceHooks
from hookyard.store import migrations, schema
from hookyard.store.database import Database
from hookyard.store.secrets import SecretBox

WORKSPACE = WorkspaceId("ws_1")
GATE = '[[webhooks]]\nname = "gate"\ntrigger = "pre_tool"\nurl = "https://gate.example"\non_failure = "deny"\n'


def claim(agent: str, attempt: int = 1) -> AdmittedRun:
    return AdmittedRun(
        run_id=RunId("run_1"), workspace_id=WORKSPACE, callback_id=CallbackId("cb_1"), callback_version=1,
        event_id=EventId("evt_1"), batch_id=None, conversation_id=ConversationId("conv_1"), prompt="p", context={},
        agent=agent, timeout_seconds=None, subject=None, cause=NO_CAUSE, attempt=attempt,
        started_at=0.0, day="2026-01-15",
    )  # fmt: skip


class ProfileEnvironment:
    """Workplaces on a database and a data folder of their own."""

    def __init__(self, database: Database, data: Path) -> None:
        self.database = database
        self.data = data
        self.box = SecretBox("a key for tests")
        self.sender = server_sender(data)
        self.hooks = WorkspaceHooks(database=database, box=self.box, data=data, sender=self.sender, log=NoLog())
        self.workplaces = ProfileEnvironments(
            database=database,
            hooks=self.hooks,
            tools=self._no_tools,
            parts=Parts(default_model="scripted:/nowhere"),
            scratch=data / "work",
            environment=self._environment,
        )

    async def _no_tools(self, claim: AdmittedRun, name: str) -> WorkspaceTools:
        raise AssertionError("only the built-in agent has tools")

    async def _environment(self) -> Mapping[str, str]:
        return {"PATH": "/bin", "JOURNAL": "j", "OTHER": "o", "HOOKYARD_ADMIN_TOKEN": "secret"}

    async def profile(self, name: str, **config: Any) -> None:
        row = {"name": name, "config": json.dumps(config), "created_at": 0.0, "updated_at": 0.0}
        await self.database.write(lambda conn: conn.execute(insert(schema.agent_profiles).values(**row)))

    async def webhook(self, name: str, at: float, **entry: Any) -> None:
        sealed = self.box.seal(json.dumps({"name": name, **entry}))
        row = {"workspace_id": WORKSPACE, "name": name, "config": sealed, "created_at": at, "updated_at": at}
        await self.database.write(lambda conn: conn.execute(insert(schema.webhooks).values(**row)))


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[ProfileEnvironment]:
    with Database(f"sqlite:///{tmp_path / 'h.db'}") as database:
        migrations.upgrade(database)
        made = ProfileEnvironment(database, tmp_path)
        yield made
        await made.hooks.close()
        await made.sender.aclose()


async def test_without_a_profile_it_is_a_dry_run_in_a_folder_that_goes_with_it(env: ProfileEnvironment) -> None:
    async with env.workplaces.open(claim("")) as workplace:
        assert workplace.agent.kind == "dry-run"
        assert workplace.tools is None
        (workplace.working_dir / "left").write_text("x")
        directory = workplace.working_dir
    assert not directory.exists()


async def test_a_profile_gives_folder_and_variables_and_none_of_ours(env: ProfileEnvironment, tmp_path: Path) -> None:
    await env.profile("p", kind="command", argv=["cat"], folder=str(tmp_path), environment=["JOURNAL"])
    async with env.workplaces.open(claim("p")) as workplace:
        assert workplace.working_dir == tmp_path
        assert dict(workplace.environment) == {"PATH": "/bin", "JOURNAL": "j"}
    assert any(tmp_path.iterdir())  # noqa: ASYNC240 - the folder of the profile is left alone


async def test_what_needs_no_variable_asks_for_none(env: ProfileEnvironment) -> None:
    env.workplaces._environment = None  # type: ignore[assignment]
    async with env.workplaces.open(claim("")) as workplace:
        assert workplace.environment == {}


@pytest.mark.parametrize(
    ("agent", "gets_one"),
    [
        ("", False), ("dry-run", False), ("nobody", False), ('{"kind": "command"}', False),
        ('{"kind": "command", "argv": ["cat"]}', False), ('{"kind": "codex"}', True), ("worker", True),
    ],
)  # fmt: skip
async def test_only_agents_that_use_a_token_get_one(env: ProfileEnvironment, agent: str, gets_one: bool) -> None:
    await env.profile("worker", kind="acp", command=["agent"])
    clock = SystemClock()
    tokens = RunTokenIssuer(Tokens(env.database, clock, Ids(clock)))
    given = await env.database.write(lambda conn: tokens.issue(conn, claim(agent)))
    stored = await env.database.read(lambda conn: conn.execute(select(schema.tokens.c.run_id)).scalars().all())
    assert (bool(given), list(stored)) == (gets_one, ["run_1"] if gets_one else [])


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("nobody", "agent profile 'nobody' does not exist"),
        ('{"kind": "command"}', "needs 'argv'"),
        ('{"kind": "command", "argv": ["cat"], "folder": "/does/not/exist"}', "does not exist on this worker"),
    ],
)
async def test_what_cannot_be_used_says_what_and_the_mend(env: ProfileEnvironment, agent: str, words: str) -> None:
    with pytest.raises(AgentError, match=words):
        async with env.workplaces.open(claim(agent)):
            pass


async def test_what_cannot_be_gated_does_not_start_under_a_closed_gate(
    env: ProfileEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (env.data / "hooks.toml").write_text(GATE)
    from hookyard.agents.dry_run import DryRun

    monkeypatch.setattr(DryRun, "can_be_gated", False)
    with pytest.raises(AgentError, match="cannot be gated"):
        async with env.workplaces.open(claim("dry-run")):
            pass


async def test_a_workspace_s_webhooks_count_for_the_next_run_and_a_run_keeps_its_own(env: ProfileEnvironment) -> None:
    async with env.workplaces.open(claim("")) as first:
        assert not first.hooks.listens(Point.PRE_TOOL)
        await env.webhook("audit", 1.0, trigger="pre_tool", url="https://audit.example")
        async with env.workplaces.open(claim("", 2)) as second:
            assert second.hooks.listens(Point.PRE_TOOL)
        assert not first.hooks.listens(Point.PRE_TOOL)
    async with env.hooks.using(WorkspaceId("ws_other")) as others:
        assert not others.listens(Point.PRE_TOOL)
