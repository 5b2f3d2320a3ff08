"""Write the migration that brings the newest revision to `store.schema`.

    uv run python scripts/write_migration.py "What it does"

`--first` writes the first one anew; allowed until a release has shipped it. Read what it writes: a rename, for one, is
seen as a column less and a column more. Set `HEAD` in `store/migrations/__init__.py` to the new revision.
"""

import argparse
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.store.schema import metadata

VERSIONS = Path(migrations.__file__).parent / "versions"

TEMPLATE = '''"""{title}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
{code}
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="what it does, in a few words")
    parser.add_argument("--first", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/migration.db"
        if not arguments.first:
            with Database(url) as database:
                # Not `upgrade`, which makes an empty database as the schema is now.
                database.write_sync(migrations.migrate)
        with create_engine(url).connect() as conn:
            context = MigrationContext.configure(conn)
            operations = produce_migrations(context, metadata).upgrade_ops
            assert operations is not None
            code = render_python_code(operations, migration_context=context)
            code = "\n".join(line for line in code.splitlines() if not line.strip().startswith("# ###"))
    down = None if arguments.first else migrations.HEAD
    revision = "0001" if arguments.first else f"{int(migrations.HEAD) + 1:04d}"
    path = VERSIONS / f"{revision}_{arguments.name.lower().replace(' ', '_')}.py"
    text = TEMPLATE.format(
        title=arguments.name.capitalize(), revision=revision, down=repr(down), code="    " + code.strip()
    )
    path.write_text(text, encoding="utf-8")
    print(f"{path}: read it, format it (ruff format), set HEAD to {revision!r}")


if __name__ == "__main__":
    main()
