"""A server of its own for each test, ended whatever happens."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.ports import kept_port


@pytest.fixture
def port() -> Iterator[int]:
    """A port to which a server that is killed comes back."""
    with kept_port() as port:
        yield port


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Makes servers, each on a folder of its own unless told otherwise."""
    made: list[ServerProcess] = []

    def make(environment: dict[str, str] | None = None, *arguments: str, name: str = "data") -> ServerProcess:
        (tmp_path / name).mkdir(exist_ok=True)
        made.append(ServerProcess(tmp_path / name, environment, *arguments))
        return made[-1]

    yield make
    for server in made:
        server.kill()
