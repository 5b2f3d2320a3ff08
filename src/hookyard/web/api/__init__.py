"""The HTTP API: one file for each thing, one FastAPI application, one OpenAPI document."""
