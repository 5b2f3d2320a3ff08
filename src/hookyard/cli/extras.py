"""Which extra of the package each command needs, and the error when it is not installed.

Called by `main` before a command's module is imported. `pip install hookyard` brings hooks, bridge and adapters; the
server and the built-in agent are extras.
"""

from __future__ import annotations

from importlib.util import find_spec

from hookyard.core.errors import PermanentError

MODULES = {
    "server": ("fastapi", "sqlalchemy", "alembic", "uvicorn", "jinja2", "quickjs", "pydantic", "structlog", "yaml"),
    "agent": ("pydantic_ai", "pydantic"),
}
"""Top-level modules by which an extra is recognised."""

NEEDED = {
    "demo": ("server", "agent"),
    "serve": ("server",),
    "worker": ("server",),
    "login-link": ("server",),
    "callbacks": ("server",),
    "db": ("server",),
    "-p": ("agent",),
}
"""The extras of each command; a command that is not listed needs none."""


def require_extras(command: str) -> None:
    """Return when everything that a command needs is installed.

    Args:
        command: Name of the command, or `-p`.

    Raises:
        PermanentError: An extra is missing; the error names it and the ways to install it.
    """
    needed = NEEDED.get(command, ())
    missing = {extra: [module for module in MODULES[extra] if not _is_installed(module)] for extra in needed}
    lacking = [extra for extra, modules in missing.items() if modules]
    if lacking:
        modules = sorted({module for extra in lacking for module in missing[extra]})
        extra = lacking[0] if len(lacking) == 1 else "all"
        raise PermanentError("extra_missing", command=f"hookyard {command}", extra=extra, missing=modules)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
