"""Fair sharing, as properties of any distribution of waiting runs."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from hookyard.runs.scheduler import fair_order

WORKSPACES = st.sampled_from(["a", "b", "c", "d"])
WAITING = st.dictionaries(WORKSPACES, st.integers(1, 8), min_size=1)


def chosen(
    places: int, holding: dict[str, int], waiting: dict[str, list[str]], blocked: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    def read(workspace: str) -> Iterator[tuple[str, tuple[str, str]]]:
        return ((run, (workspace, run)) for run in waiting[workspace] if run not in blocked)

    oldest = {workspace: runs[0] for workspace, runs in waiting.items()}
    return list(fair_order(places, holding, oldest, read))


def interleaved(counts: dict[str, int], order: list[str]) -> dict[str, list[str]]:
    """Runs with rising ids, dealt to the workspaces in some order."""
    left = dict(counts)
    waiting: dict[str, list[str]] = {workspace: [] for workspace in counts}
    number = 0
    while any(left.values()):
        for workspace in order:
            if left.get(workspace):
                waiting[workspace].append(f"run_{number:04}")
                left[workspace] -= 1
                number += 1
    return waiting


@given(
    places=st.integers(0, 20),
    holding=st.dictionaries(WORKSPACES, st.integers(0, 6)),
    counts=WAITING,
    order=st.permutations(["a", "b", "c", "d"]),
)
def test_the_places_go_to_those_that_hold_least_and_within_a_workspace_to_the_oldest(
    places: int, holding: dict[str, int], counts: dict[str, int], order: list[str]
) -> None:
    waiting = interleaved(counts, order)
    given_out = chosen(places, holding, waiting)

    assert len(given_out) == min(places, sum(counts.values()))
    for workspace, runs in waiting.items():
        mine = [run for owner, run in given_out if owner == workspace]
        assert mine == runs[: len(mine)]
    held = {workspace: holding.get(workspace, 0) for workspace in waiting}
    left = {workspace: len(runs) for workspace, runs in waiting.items()}
    for workspace, _ in given_out:
        # Nobody who still waits holds less than the one that was chosen.
        assert held[workspace] == min(held[other] for other in waiting if left[other])
        held[workspace] += 1
        left[workspace] -= 1


@given(counts=WAITING, blocked=st.sets(st.integers(0, 31)))
def test_what_may_not_start_is_passed_over_and_delays_nobody(counts: dict[str, int], blocked: set[int]) -> None:
    waiting = interleaved(counts, sorted(counts))
    out = frozenset(f"run_{number:04}" for number in blocked)
    given_out = chosen(100, {}, waiting, out)
    assert sorted(run for _, run in given_out) == sorted(
        run for runs in waiting.values() for run in runs if run not in out
    )


def test_a_workspace_with_a_thousand_runs_delays_another_by_one_place() -> None:
    waiting = {"busy": [f"run_{n:04}" for n in range(1000)], "quiet": ["run_9999"]}
    assert ("quiet", "run_9999") in chosen(2, {}, waiting)
    assert chosen(1, {"busy": 1}, waiting) == [("quiet", "run_9999")]


def test_no_workspace_is_read_further_than_one_run_beyond_what_it_gets() -> None:
    read: list[str] = []

    def reader(workspace: str) -> Iterator[tuple[str, str]]:
        for number in range(1000):
            read.append(workspace)
            yield f"run_{number:04}", workspace

    list(fair_order(3, {"b": 5}, {"a": "run_0000", "b": "run_0000"}, reader))
    assert read == ["a"] * 4
