"""An agent's plugin that is ours alone: a program with our hooks written into it, recognised by its first line.

Used by `install` for dialects with a `plugin`. To its users it is a settings file; a program that is not ours is never
written over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookyard.bridge.native_file import NativeFile
from hookyard.core.errors import InvalidError

OURS = "// Written by hookyard"
_HOOKS = "const HOOKS = "


@dataclass(frozen=True, slots=True)
class PluginFile(NativeFile):
    """One plugin.

    Attributes:
        template: The program, its hooks empty.
    """

    template: Path

    def parsed(self, text: str | None) -> dict[str, Any]:
        """Return the hooks in the program's text.

        Raises:
            InvalidError: It is another's, or was changed so that its hooks cannot be read.
        """
        if text is None or not text.strip():
            return {}
        if not text.startswith(OURS):
            raise InvalidError("is a plugin of somebody else", where=str(self.path), hint="nothing was written")
        _, _, rest = text.partition(_HOOKS)
        try:
            hooks, _ = json.JSONDecoder().raw_decode(rest)
        except (ValueError, RecursionError):
            hooks = None
        if not isinstance(hooks, dict):
            raise InvalidError("was changed", where=str(self.path), hint="delete it, then install again")
        return hooks

    def worded(self, settings: dict[str, Any]) -> str | None:
        """Return the program with these hooks, None without any."""
        if not settings:
            return None
        before, _, after = self.template.read_text(encoding="utf-8").partition(f"{_HOOKS}{{}}")
        return f"{before}{_HOOKS}{json.dumps(settings, indent=2)}{after}"

    def outdated(self) -> bool:
        """Return whether the program is of another version, or was edited."""
        text = self.text()
        return text is not None and text != self.worded(self.parsed(text))
