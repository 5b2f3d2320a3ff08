"""One file a revision, run in order; written by `scripts/write_migration.py`, then read by a human."""
