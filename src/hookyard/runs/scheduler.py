"""Who is next: workspaces share the places fairly, within a workspace it is first come first served.

The pure rule of `admission`. A free place goes to the workspace that holds the fewest; among equals to the one whose
next run has waited longest. So a workspace that queues a thousand runs delays the others by no more than one slot each.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

Run = TypeVar("Run")


def fair_order(
    places: int,
    holding: Mapping[str, int],
    oldest: Mapping[str, str],
    waiting: Callable[[str], Iterator[tuple[str, Run]]],
) -> Iterator[Run]:
    """Return the runs in the order in which they get the free slots.

    Args:
        places: How many are free.
        holding: Places that each workspace holds, 0 when missing.
        oldest: Every workspace with a waiting run, and the id of its oldest one.
        waiting: A workspace's runs that may start, with their ids, oldest first. Called for a workspace when its turn
            comes, and read no further than one run beyond what it is given.
    """
    heap = [(holding.get(workspace, 0), run_id, workspace) for workspace, run_id in oldest.items()]
    heapq.heapify(heap)
    readers: dict[str, Iterator[tuple[str, Run]]] = {}
    following: dict[str, tuple[str, Run]] = {}

    def put(workspace: str, held: int) -> None:
        found = next(readers[workspace], None)
        if found is not None:
            following[workspace] = found
            heapq.heappush(heap, (held, found[0], workspace))

    while heap and places > 0:
        held, _, workspace = heapq.heappop(heap)
        if workspace not in readers:
            # Its oldest run may not be one that may start: it queues again with the one that is.
            readers[workspace] = waiting(workspace)
            put(workspace, held)
            continue
        places -= 1
        yield following.pop(workspace)[1]
        put(workspace, held + 1)
