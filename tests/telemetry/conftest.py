"""The server of the web tests, whose metrics and traces are tested here."""

from tests.web.conftest import empty_database, server

__all__ = ["empty_database", "server"]
