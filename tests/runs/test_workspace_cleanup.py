"""Folders that a killed worker left: those of ended attempts go, everything else stays."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import insert

from hookyard.core.ids import RunId
from hookyard.runs.queue import Execution
from hookyard.runs.workspace_cleanup import GRACE_SECONDS, MAX_AGE_SECONDS, WorkspaceCleanup, directory_name
from hookyard.store import migrations, schema
from hookyard.store.database import Database

NOW = 1_768_467_600.0


class FakeClock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return NOW


async def test_only_folders_of_attempts_that_are_over_go(tmp_path: Path) -> None:
    scratch = tmp_path / "work"
    ends = {"run_A": NOW - GRACE_SECONDS - 1, "run_B": NOW - 1, "run_C": None}
    for name in ("run_A-1", "run_B-1", "run_C-1", "run_D-1", "run_E-1", "mine", "run_A-1.bak"):
        (scratch / name / "deep").mkdir(parents=True)
        (scratch / name / "deep" / "file").write_text("x")
        os.utime(scratch / name, (NOW, NOW))
    os.utime(scratch / "run_E-1", (0, NOW - MAX_AGE_SECONDS - 1))
    (scratch / "run_A-2").symlink_to(tmp_path)
    with Database(f"sqlite:///{tmp_path / 'h.db'}") as database:
        migrations.upgrade(database)
        rows = [
            {"run_id": run, "number": number, "worker_id": "wrk_1", "started_at": 0.0, "finished_at": end}
            for run, end in ends.items()
            for number in (1, 2)
        ]
        await database.write(lambda conn: conn.execute(insert(schema.attempts), rows))
        await WorkspaceCleanup(database, FakeClock(), scratch).clean_up()
        left = {entry.name for entry in scratch.iterdir()}
        # B has ended only now, C is under way, D is not known but fresh.
        assert left == {"run_B-1", "run_C-1", "run_D-1", "mine", "run_A-1.bak", "run_A-2"}
        await WorkspaceCleanup(database, FakeClock(), tmp_path / "nowhere").clean_up()


def test_a_folder_is_named_like_its_attempt() -> None:
    assert directory_name(Execution(RunId("run_01ABC"), 2)) == "run_01ABC-2"
