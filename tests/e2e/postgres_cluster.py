"""A PostgreSQL of a test's own, which it may stop, start and reconfigure."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

USER = "hookyard"
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")


class PostgresCluster:
    """One cluster, on one port.

    Args:
        programs: The folder of `initdb` and `pg_ctl`.
        directory: Where its files go.
        port: Where it listens.
    """

    def __init__(self, programs: Path, directory: Path, port: int) -> None:
        self.port = port
        self._programs = programs
        self._folder = directory

    def create(self) -> None:
        self._run("initdb", "--auth=trust", "--no-sync", f"--username={USER}", "--pgdata", str(self._folder / "data"))
        with (self._folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"
            )

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"))

    def stop(self) -> None:
        """As a failover does: connections are cut, nothing is waited for."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._folder / "data"))

    def url(self, port: int | None = None) -> str:
        """Its address, or that of a proxy in front of it."""
        return f"postgresql://{USER}@127.0.0.1:{port or self.port}/postgres"

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last."""
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=5) as connection:
            rows: list[tuple[Any, ...]] = []
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
            return rows

    def read_only(self, on: bool) -> None:
        """Refuse writes, as a standby does after a failover, or take them again."""
        value = "on" if on else "off"
        self.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self._programs / program), *arguments]
        # The server refuses to run as root. Its output must not be a pipe, which the server would keep open.
        as_user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        with (self._folder / "commands").open("ab") as output:
            done = subprocess.run(
                command, cwd=self._folder, stdout=output, stderr=output, timeout=60, check=False, **as_user
            )
        assert done.returncode == 0, (self._folder / "commands").read_text()[-3000:]


def _programs() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    for pattern in PLACES:
        places += sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    return next((place for place in places if (place / "pg_ctl").exists()), None)


@contextmanager
def postgres_cluster(port: int) -> Iterator[PostgresCluster]:
    """A cluster that runs; stopped and removed at the end."""
    programs = _programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL's initdb is not installed, though this is CI")
        pytest.skip("PostgreSQL's initdb is not installed")
    # Not under pytest's own folder, which only its user may enter.
    with tempfile.TemporaryDirectory(prefix="hookyard-postgres-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        cluster = PostgresCluster(programs, directory, port)
        cluster.create()
        cluster.start()
        try:
            yield cluster
        finally:
            if (directory / "data" / "postmaster.pid").exists():
                cluster.stop()
