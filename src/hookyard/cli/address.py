"""The addresses that the command line prints.

Used by `serve` and `login-link`.
"""

from __future__ import annotations

from hookyard.settings import Settings


def login_url(settings: Settings, secret: str) -> str:
    """A one-time login link."""
    return f"{settings.url}/login/{secret}"
