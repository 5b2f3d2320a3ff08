"""Fixtures that every folder of tests may use."""

import inspect
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

# As Hypothesis has it in CI by itself: a busy machine is no failure.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):
    settings.load_profile("busy")

# A suite started with `nohup`, or by a script's `&`, ignores these, and so would every program that a test starts, also
# where it is to be ended by one. A handler is not handed down.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

ROOT = Path(__file__).resolve().parents[1]

# Modules that start agents from npm.
NPM_MODULES = {"tests.agents.programs", "tests.bridge.real_agents"}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on every processor. A run of named tests stays in one process: it starts faster."""
    if hasattr(config, "workerinput"):  # a worker runs this hook too, and must not start workers of its own
        return
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    if whole and config.option.numprocesses is None and not config.option.usepdb:
        config.option.numprocesses = "auto"
        config.option.dist = "worksteal"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the parts that it needs, so that `-m "not postgres"` and the like select tests."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if "postgresql_url" in item.fixturenames or "postgresql" in map(str, parameters.values()):
            item.add_marker("postgres")
        if "browser" in item.fixturenames:
            item.add_marker("browser")
        if any(_home(value) in NPM_MODULES for value in vars(item.module).values()):
            item.add_marker("npm")


def _home(value: object) -> object:
    """Return the module that a value comes from, or its own name if it is one."""
    return getattr(value, "__name__", None) if inspect.ismodule(value) else getattr(value, "__module__", None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the contract, the designs and the samples; in CI it must be there."""
    for candidate in (os.environ.get("HOOKYARD_SHARED"), ROOT.parent / "shared", ROOT.parent.parent / "shared"):
        if candidate and (Path(candidate) / "contract").is_dir():
            return Path(candidate)
    if os.environ.get("CI"):
        pytest.fail("the shared folder is not beside the project, though this is CI")
    pytest.skip("the shared folder with contract and samples is not beside the project")


@contextmanager
def _new_database(kind: str, directory: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{directory / 'hookyard.db'}"
        return
    server = os.environ.get("HOOKYARD_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")
    try:
        connection = psycopg.connect(server, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        if os.environ.get("CI"):
            pytest.fail("no PostgreSQL to be reached, though this is CI")
        pytest.skip("no PostgreSQL to be reached; set HOOKYARD_TEST_POSTGRES")
    name = f"hookyard_{secrets.token_hex(6)}"
    with connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield server.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty database; the test runs on both kinds."""
    with _new_database(str(request.param), tmp_path) as url:
        yield url


@pytest.fixture
def postgresql_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database, for what only several servers can show."""
    with _new_database("postgresql", tmp_path) as url:
        yield url
