"""The server: ingest, API and pages."""
