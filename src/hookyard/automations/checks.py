"""What is wrong with a callback before it is saved: its events, its prompt, its condition, its key.

Called by `callbacks` on a server and by `yaml_file` without one.
"""

from __future__ import annotations

from collections.abc import Sequence

from hookyard.callbacks import template
from hookyard.callbacks.spec import CallbackSpec
from hookyard.conditions.conditions import Conditions
from hookyard.core.errors import Problem
from hookyard.events.catalog import COMMON, Catalog


async def check_spec(spec: CallbackSpec, conditions: Conditions, catalog: Catalog) -> list[Problem]:
    """Return the problems of a callback: errors, and warnings about what is odd.

    Raises:
        TemporaryError: Its condition cannot be checked now.
    """
    return await check_parts(spec.events, spec.prompt, spec.condition, spec.concurrency_key, conditions, catalog)


async def check_parts(
    events: Sequence[str],
    prompt: str,
    condition: str,
    concurrency_key: str | None,
    conditions: Conditions,
    catalog: Catalog,
) -> list[Problem]:
    """Return the problems of the parts of a callback that is being edited."""
    chosen = catalog.select(events)
    problems = catalog.check(events)
    problems += template.check(prompt, chosen)
    problems += await conditions.check(condition, chosen)
    known = {variable.name for variable in COMMON}.union(*(one.readable for one in chosen))
    if concurrency_key is not None and chosen and concurrency_key not in known:
        problems.append(Problem("concurrencyKey", f"no chosen event carries {concurrency_key!r}"))
    return problems
