"""How verdicts are stored, and when a quota holds a run up."""

import pytest

from hookyard.core.errors import PermanentError
from hookyard.core.verdicts import GATES, WAITS, Gate, GateVerdict, Outcome, pack, packed_has, quota_hold, unpack

WAITING = f"{WAITS}5 runs an hour is the workspace's quota"

STORED = {
    "q": GateVerdict.QUEUED,
    "m": GateVerdict.MERGED,
    "a": GateVerdict.AUTHOR,
    "c": GateVerdict.CONDITION,
    "e": GateVerdict.CONDITION_ERROR,
    "d": GateVerdict.DUPLICATE,
    "o": GateVerdict.OPERATION,
    "l": GateVerdict.LOOP,
    "s": GateVerdict.SKIPPED,
}
"""The format of every database that there is."""


def test_what_is_stored_is_read_back_as_it_was() -> None:
    assert pack(list(STORED.values())) == "".join(STORED)
    assert unpack("".join(STORED)) == tuple(STORED.values())
    assert unpack(None) == unpack("") == ()


@pytest.mark.parametrize("verdict", [verdict for verdict in GateVerdict if verdict not in STORED.values()])
def test_what_is_only_derived_is_never_stored(verdict: GateVerdict) -> None:
    with pytest.raises(ValueError, match=verdict.name):
        pack((GateVerdict.QUEUED, verdict))


def test_a_verdict_of_a_newer_hookyard_is_refused() -> None:
    with pytest.raises(PermanentError, match="unknown verdict Z"):
        unpack("qZ")


def test_a_stored_form_is_searched_without_unpacking_it() -> None:
    assert packed_has("ccq", {GateVerdict.QUEUED, GateVerdict.MERGED})
    assert not packed_has("cce", {GateVerdict.QUEUED})
    assert not packed_has(None, {GateVerdict.QUEUED})


def test_each_verdict_has_a_gate_and_a_reason_unless_it_let_the_event_through() -> None:
    for verdict in GateVerdict:
        assert (verdict.gate is None) == (verdict.reason is None)
        assert verdict.gate is None or verdict.gate in GATES
        assert verdict.outcome is not Outcome.STOPPED or verdict.gate is not None
    reasons = [verdict.reason for verdict in GateVerdict if verdict.reason is not None]
    assert len(set(reasons)) == len(reasons)
    assert {verdict.gate for verdict in GateVerdict} == {*Gate, None} - {Gate.MERGE}


@pytest.mark.parametrize(
    ("status", "reason", "held"),
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
    status: str | None, reason: str | None, held: bool
) -> None:
    assert quota_hold(status, reason) == (reason if held else None)
