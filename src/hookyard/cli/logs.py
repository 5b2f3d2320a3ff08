"""Logs of a server or a worker: one JSON object a line, or lines for people on a terminal; on stderr.

Called once by `serve` and `worker`. The rest of hookyard logs through the standard library's `logging`; what looks like
a secret is taken out here, whichever module logged it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_HIDDEN = "[hidden]"
_SECRET_KEY = re.compile(r"token|secret|password|authorization|cookie|api_?key|credential", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"hky_[A-Za-z0-9_-]{8,}"), _HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {_HIDDEN}"),
    (re.compile(r"(/login/)[A-Za-z0-9_-]{16,}"), rf"\1{_HIDDEN}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), _HIDDEN),
    (re.compile(r"(://[^/\s:@]+:)[^/\s@]+@"), rf"\1{_HIDDEN}@"),
)


def configure(level: int = logging.INFO) -> None:
    """Send every log record of the process to stderr.

    Args:
        level: The least that is shown; of libraries only warnings are.
    """
    terminal = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    last.append(structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(ensure_ascii=False))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("hookyard").setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out of a record what is a secret by its name or by its form."""
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = _HIDDEN
        elif isinstance(value, str):
            event[key] = without_secrets(value)
    return event


def without_secrets(text: str) -> str:
    """Return a text with everything replaced that looks like a secret."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
