"""Settings that change while servers run."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookyard.core.clock import SystemClock
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError
from hookyard.settings import SETTINGS_FILE, LiveSettings, Settings
from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.store.live_settings import POLL_INTERVAL_SECONDS, LiveSettingsStore

WINDOW = "eventCallback.dedupWindowMs"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as database:
        migrations.upgrade(database)
        yield database


async def test_the_seeds_defaults(database: Database) -> None:
    current = await LiveSettingsStore(database, SystemClock(), LiveSettings()).load()
    assert current.flag("eventCallback.dedupEnabled") is True
    assert current.number(WINDOW) == 5000
    assert current.flag("eventCallback.mergeEnabled") is False
    assert current.number("eventCallback.mergeWindowMs") == 5000
    assert current.number("eventCallback.maxQueueSize") == 100


async def test_a_change_reaches_another_server_within_two_seconds(database: Database, database_url: str) -> None:
    here = LiveSettingsStore(database, SystemClock(), LiveSettings())
    with Database(database_url) as other:
        other.listen()
        there = LiveSettingsStore(other, SystemClock(), LiveSettings())
        following = asyncio.create_task(there.follow())
        try:
            changed = await here.change({WINDOW: 100}, by="usr_1")
            assert changed.number(WINDOW) == here.current.number(WINDOW) == 100
            assert POLL_INTERVAL_SECONDS < 2
            async with asyncio.timeout(60):
                while there.current.number(WINDOW) != 100:  # noqa: ASYNC110 - another server tells nobody here
                    await asyncio.sleep(0.02)
        finally:
            following.cancel()
    assert (await here.change({WINDOW: None}, by="usr_1")).number(WINDOW) == 5000


async def test_all_changes_or_none(database: Database) -> None:
    store = LiveSettingsStore(database, SystemClock(), LiveSettings())
    with pytest.raises(InvalidError) as refused:
        await store.change({"eventCallback.mergeEnabled": True, WINDOW: -1, "worker.maxRuns": "many"}, by="usr_1")
    assert [problem.field for problem in refused.value.problems] == [WINDOW, "worker.maxRuns"]
    with pytest.raises(NotFoundError):
        await store.change({"eventCallback.mergeEnabled": True, "no.such": 1}, by="usr_1")
    assert (await store.load()).flag("eventCallback.mergeEnabled") is False


async def test_what_the_environment_fixes_stays(database: Database) -> None:
    free = LiveSettingsStore(database, SystemClock(), LiveSettings())
    await free.change({WINDOW: 100}, by="usr_1")
    fixed = LiveSettings({**LiveSettings().values, WINDOW: 7}, {WINDOW: "HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW_MS"})
    store = LiveSettingsStore(database, SystemClock(), fixed)
    assert (await store.load()).number(WINDOW) == 7
    with pytest.raises(ConflictError, match="HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW_MS"):
        await store.change({WINDOW: 100}, by="usr_1")


async def test_a_change_of_the_settings_file_needs_no_restart(database: Database, tmp_path: Path) -> None:
    settings = Settings.load({"HOOKYARD_DATA": str(tmp_path)})
    file = tmp_path / SETTINGS_FILE
    store = LiveSettingsStore(database, SystemClock(), settings.live({}), lambda: settings.live({}))
    with database.signals.subscribe("settings") as told:
        following = asyncio.create_task(store.follow())
        try:
            assert (await store.change({WINDOW: 100}, by="usr_1")).number(WINDOW) == 100
            await told.wait(1)
            file.write_text("[eventCallback]\ndedupWindowMs = 7\n")
            async with asyncio.timeout(60):
                while store.current.number(WINDOW) != 7:
                    await told.wait(1)
            with pytest.raises(ConflictError, match=SETTINGS_FILE) as fixed:
                await store.change({WINDOW: 200}, by="usr_1")
            assert fixed.value.hint == "change it there"
            file.unlink()
            async with asyncio.timeout(60):
                while store.current.number(WINDOW) != 100:
                    await told.wait(1)
        finally:
            following.cancel()


async def test_a_settings_file_with_a_mistake_changes_nothing_and_is_told_once(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.load({"HOOKYARD_DATA": str(tmp_path)})
    file = tmp_path / SETTINGS_FILE
    file.write_text("eventCallback.dedupWindowMs = 7\n")
    store = LiveSettingsStore(database, SystemClock(), settings.live({}), lambda: settings.live({}))
    await store.change({"worker.maxRuns": 3}, by="usr_1")
    with caplog.at_level(logging.WARNING):
        for mistake in ("eventCallback.dedupWindowMs = -1\n", "eventCallback.dedupWindowMs =", "no.such = 1\n"):
            file.write_text(mistake)
            for _ in range(3):
                current = await store.load()
                assert (current.number(WINDOW), current.number("worker.maxRuns")) == (7, 3)
    assert len(caplog.records) == 3
    assert all(SETTINGS_FILE in record.getMessage() for record in caplog.records)
    file.write_text("eventCallback.dedupWindowMs = 8\n")
    assert (await store.load()).number(WINDOW) == 8
