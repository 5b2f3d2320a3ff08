"""What a letter reads as."""

import pytest

from hookyard.callbacks import letters

WAITING = f"{letters.WAITS}5 runs an hour is the workspace's quota"


@pytest.mark.parametrize(
    ("status", "reason", "held_up"),
    [
        ("queued", WAITING, True),
        ("queued", None, False),
        ("queued", "", False),
        ("queued", "its worker was lost", False),
        ("running", WAITING, False),  # what it waited for has passed
        ("skipped", WAITING, False),
        (None, None, False),  # no run
    ],
)
def test_a_quota_holds_a_run_up_while_it_is_queued_for_that_reason(
    status: str | None, reason: str | None, held_up: bool
) -> None:
    assert letters.held_up(status, reason) == (reason if held_up else None)
    assert letters.as_it_stands(letters.QUEUED, status, reason) == (letters.QUOTA if held_up else letters.QUEUED)
