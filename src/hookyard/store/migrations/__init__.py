"""The database's versions: brings the tables of a database to those of `store.schema`.

Called at start by `wiring` and by `hookyard db upgrade`. Alembic does the work and is imported only when there is
some. Two servers that start at once are safe: a lock lets one of them migrate while the other waits.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from hookyard.core.errors import PermanentError
from hookyard.store.database import Database
from hookyard.store.limits import MIGRATION_SECONDS
from hookyard.store.schema import metadata

HEAD = "0005"
"""The newest revision; a test compares it with the files."""

_ADVISORY_LOCK = 0x686F6F6B  # "hook"


def upgrade(database: Database) -> bool:
    """Bring the database to this version of hookyard.

    Returns:
        Whether anything was done.

    Raises:
        PermanentError: The database is of a newer hookyard, or another program's.
        TemporaryError: It cannot be reached or stays locked.
    """
    if database.read_sync(current) == HEAD:
        return False
    return database.write_sync(_upgrade, seconds=MIGRATION_SECONDS)


def current(conn: Connection) -> str | None:
    """Return the revision of a database; None when it is empty."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(conn: Connection) -> bool:
    # SQLite's write lock was taken when the transaction began.
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    found = current(conn)
    if found == HEAD:
        return False
    tables = inspect(conn).get_table_names() if found is None else []
    if taken := sorted(metadata.tables.keys() & set(tables)):
        raise PermanentError(
            f"the database has a table {taken[0]} that is not hookyard's",
            hint="give hookyard a database of its own, with --data or HOOKYARD_DATABASE_URL",
        )
    if found is None and not tables:
        _create(conn)
    else:
        migrate(conn)
    return True


def migrate(conn: Connection) -> None:
    """Run the migrations that a database lacks; of an empty one, all of them.

    Raises:
        PermanentError: The database is of a newer hookyard.
    """
    # Alembic takes a third of a second to import: only where there is something to migrate.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise PermanentError(
            f"the database is of another hookyard: {error}",
            hint="use the newest hookyard that has written to it, or restore a backup",
        ) from error


def _create(conn: Connection) -> None:
    """Create the newest tables in an empty database; a test compares `schema` with the migrations."""
    metadata.create_all(conn)
    conn.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    conn.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})
