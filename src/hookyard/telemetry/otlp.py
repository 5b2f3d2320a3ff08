"""Export to a collector by OTLP: whether it is wanted, what does it, and what it says of this server.

Used by `metrics` and `traces`. OpenTelemetry is imported when the export begins and not before.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

logger = logging.getLogger(__name__)

COLLECTOR_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Of OpenTelemetry's own: where a collector is."""

_PACKAGE = "opentelemetry.exporter.otlp.proto.http"


def wanted() -> bool:
    """Return whether the environment names a collector."""
    return bool(os.environ.get(COLLECTOR_VARIABLE))


def exporter(module: str, name: str) -> Any | None:
    """Return a new exporter, which reads its settings from the standard variables; None when it is not installed.

    Args:
        module: Of the exporters' package.
        name: The class.
    """
    try:
        return getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name)()
    except ModuleNotFoundError:
        logger.warning("%s is set, but hookyard[otlp] is not installed", COLLECTOR_VARIABLE)
        return None


def resource() -> Resource:
    """Return the exporting resource: `hookyard`, unless the standard variables give another name."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    return Resource.create({"service.name": "hookyard", **OTELResourceDetector().detect().attributes})
