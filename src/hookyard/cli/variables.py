"""Variables named `HOOKYARD_…` that hookyard does not know: a mistyped one would be ignored in silence.

`serve` and `worker` name them in their log when they start. They are no reason not to start: the environment is also
other programs' to write to.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import re
from collections.abc import Mapping

from hookyard.settings import LIVE, Settings

_PREFIX = "HOOKYARD_"
_READ_ELSEWHERE = ("ALLOW_HOOK_EDITS", "CA_BUNDLE", "DEBUG", "LANG", "LISTEN_SECRET", "TOKEN", "URL", "WORKSPACE")
"""What other commands, webhooks and the bridge read."""

KNOWN = (
    *sorted(_PREFIX + where.name.upper() for where in dataclasses.fields(Settings)),
    *(setting.variable for setting in LIVE.values()),
    *(_PREFIX + name for name in _READ_ELSEWHERE),
)
"""Every variable of hookyard's own."""

_OF_OTHERS = re.compile(r"HOOKYARD_(TEST_|(\w+_)?SERVICE_(HOST|PORT)|(\w+_)?PORT_\d+_(TCP|UDP))")
"""Of hookyard's tests, and those that Kubernetes and Docker make for each service, for one named hookyard too."""

logger = logging.getLogger(__name__)


def warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Log each variable that is unknown, with the one that was probably meant; never its value, which may be a
    secret."""
    for name, meant in unknown(environ).items():
        hint = f"did you mean {meant}?" if meant else f"there are {', '.join(KNOWN)}"
        logger.warning("there is no variable %s, so it is ignored (%s)", name[:100], hint)


def unknown(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that hookyard does not read, each with the nearest known one."""
    by_letters = {_letters(name): name for name in KNOWN}
    found: dict[str, str | None] = {}
    for name in sorted(environ):
        # Kubernetes and Docker give a service's address so: …_PORT=tcp://10.0.0.1:5432.
        linked = name.endswith("_PORT") and environ[name].startswith(("tcp://", "udp://"))
        if name.startswith(_PREFIX) and name not in KNOWN and not linked and not _OF_OTHERS.match(name):
            near = difflib.get_close_matches(_letters(name), by_letters, n=1)
            found[name] = by_letters[near[0]] if near else None
    return found


def _letters(name: str) -> str:
    """Return the name without the common prefix and without what is easily mistyped."""
    return name.removeprefix(_PREFIX).replace("_", "").upper()
