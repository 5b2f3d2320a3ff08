"""Fixtures of the tests of runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hookyard.store.database import Database
from tests.runs.scene import Scene


@contextmanager
def _scene(url: str) -> Iterator[Scene]:
    with Database(url) as database:
        scene = Scene(database)
        scene.create()
        database.listen()
        yield scene


@pytest.fixture
def scene(database_url: str) -> Iterator[Scene]:
    """An empty database of ours, of each kind."""
    with _scene(database_url) as scene:
        yield scene


@pytest.fixture
def sqlite_scene(tmp_path: Path) -> Iterator[Scene]:
    """An empty SQLite file of ours."""
    with _scene(f"sqlite:///{tmp_path / 'hookyard.db'}") as scene:
        yield scene


@pytest.fixture
def postgresql_scene(postgresql_url: str) -> Iterator[Scene]:
    """An empty PostgreSQL database of ours."""
    with _scene(postgresql_url) as scene:
        yield scene
