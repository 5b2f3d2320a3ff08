"""Ids sort in the order in which they were made, whatever the clock does."""

from hookyard.core.ids import Ids


class StillClock:
    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def test_ids_of_one_millisecond_sort_in_the_order_of_making() -> None:
    ids = Ids(StillClock(1_700_000_000.0))
    made = [ids.event() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000


def test_ids_go_on_sorting_when_the_clock_is_set_back() -> None:
    clock = StillClock(1_700_000_000.0)
    ids = Ids(clock)
    first = ids.run()
    clock.at -= 3600
    assert ids.run() > first


def test_an_id_names_its_kind_and_its_time() -> None:
    early, late = Ids(StillClock(1.0)).event(), Ids(StillClock(2.0)).event()
    assert early.startswith("evt_")
    assert len(early) == 30
    assert early < late
