"""The one table of what may follow what."""

import pytest

from hookyard.core.errors import ConflictError
from hookyard.core.run_status import FINAL, TRANSITIONS, RunStatus, check


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(RunStatus)


def test_a_run_can_end_from_wherever_it_stands() -> None:
    for status in set(RunStatus) - FINAL:
        assert TRANSITIONS[status] & FINAL


def test_a_final_state_is_never_left() -> None:
    for status in FINAL:
        for target in RunStatus:
            with pytest.raises(ConflictError):
                check(status, target)


def test_only_a_run_that_never_began_can_be_skipped() -> None:
    assert [source for source, targets in TRANSITIONS.items() if RunStatus.SKIPPED in targets] == [RunStatus.QUEUED]


def test_what_is_in_the_table_is_not_refused() -> None:
    for source, targets in TRANSITIONS.items():
        for target in targets:
            check(source, target)
