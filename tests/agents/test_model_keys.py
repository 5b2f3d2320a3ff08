"""Kept keys reach the providers' libraries, and nothing else does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hookyard.agents.model_keys import ModelKeys, ProviderEnvironment
from hookyard.core.clock import SystemClock
from hookyard.core.errors import InvalidError, NotFoundError
from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.store.secrets import SecretBox


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[ModelKeys]:
    with Database(f"sqlite:///{tmp_path / 'h.db'}") as database:
        migrations.upgrade(database)
        yield ModelKeys(database, SecretBox("a key for tests"), SystemClock())


async def test_a_kept_key_is_there_and_goes_when_it_is_removed(keys: ModelKeys) -> None:
    environ = {"PATH": "/bin"}
    environment = ProviderEnvironment(keys, environ)
    await keys.put("ANTHROPIC_API_KEY", "sk-1")
    assert (await environment.current())["ANTHROPIC_API_KEY"] == "sk-1"
    await keys.put("ANTHROPIC_API_KEY", "sk-2")
    assert (await environment.current())["ANTHROPIC_API_KEY"] == "sk-2"
    await keys.remove("ANTHROPIC_API_KEY")
    assert dict(await environment.current()) == {"PATH": "/bin"}
    with pytest.raises(NotFoundError):
        await keys.remove("ANTHROPIC_API_KEY")


async def test_the_process_s_own_variable_wins(keys: ModelKeys) -> None:
    environment = ProviderEnvironment(keys, {"OPENAI_API_KEY": "mine"})
    await keys.put("OPENAI_API_KEY", "kept")
    assert (await environment.current())["OPENAI_API_KEY"] == "mine"
    await keys.remove("OPENAI_API_KEY")
    assert (await environment.current())["OPENAI_API_KEY"] == "mine"


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "HOOKYARD_SECRET_KEY", "openai_api_key", "X"])
async def test_no_other_variable_can_be_kept(keys: ModelKeys, name: str) -> None:
    with pytest.raises(InvalidError):
        await keys.put(name, "value")
    assert await keys.values() == {}


async def test_lists_name_keys_and_never_show_them(keys: ModelKeys) -> None:
    await keys.put("OPENAI_API_KEY", "sk-very-secret")
    (kept,) = await keys.list()
    assert kept.variable == "OPENAI_API_KEY"
    assert "sk-very-secret" not in repr(kept)
