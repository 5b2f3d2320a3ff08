"""Fixtures of the tests of runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hookyard.store.database import Database
from tests.runs.environment import RunsEnvironment


@contextmanager
def _scene(url: str) -> Iterator[RunsEnvironment]:
    with Database(url) as database:
        env = RunsEnvironment(database)
        env.create()
        database.listen()
        yield env


@pytest.fixture
def env(database_url: str) -> Iterator[RunsEnvironment]:
    """An empty database of ours, of each kind."""
    with _scene(database_url) as env:
        yield env


@pytest.fixture
def sqlite_scene(tmp_path: Path) -> Iterator[RunsEnvironment]:
    """An empty SQLite file of ours."""
    with _scene(f"sqlite:///{tmp_path / 'hookyard.db'}") as env:
        yield env


@pytest.fixture
def postgresql_scene(postgresql_url: str) -> Iterator[RunsEnvironment]:
    """An empty PostgreSQL database of ours."""
    with _scene(postgresql_url) as env:
        yield env
