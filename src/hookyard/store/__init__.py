"""The database: schema, migrations, named queries, and the one writer."""
