"""Run by Alembic, inside the transaction that `hookyard.store.migrations` has begun."""

from alembic import context

from hookyard.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
