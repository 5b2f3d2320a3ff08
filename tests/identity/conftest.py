"""The database of the workspace tests."""

from tests.workspace.conftest import database

__all__ = ["database"]
