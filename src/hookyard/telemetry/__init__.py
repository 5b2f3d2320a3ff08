"""Metrics and traces, exported with OpenTelemetry."""
