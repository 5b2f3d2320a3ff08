"""Events and their causes."""

from hookyard.core.ids import CallbackId, EventId, RunId, WorkspaceId
from hookyard.events.model import NO_CAUSE, AuthorTrust, Cause, Event, EventDraft


def event(at: float = 1_768_467_600.0, **changes: object) -> Event:
    draft = EventDraft("task.deleted", {"taskId": "task-1", "retries": 2}, **changes)  # type: ignore[arg-type]
    return draft.accepted(EventId("evt_1"), WorkspaceId("ws"), at)


def test_an_accepted_event_carries_the_common_variables_too() -> None:
    assert event().ctx == {
        "eventName": "task.deleted",
        "timestamp": "2026-01-15T09:00:00Z",
        "workspaceId": "ws",
        "taskId": "task-1",
        "retries": 2,
    }
    assert event(at=1_768_467_600.25).timestamp == "2026-01-15T09:00:00.250Z"
    assert event(occurred_at=0.0).timestamp == "1970-01-01T00:00:00Z"


def test_a_chain_of_causes_grows_and_survives_storage() -> None:
    chain = NO_CAUSE.by(RunId("run_1"), CallbackId("cb_1"), EventId("evt_1"))
    longer = chain.by(RunId("run_2"), CallbackId("cb_2"), EventId("evt_2"))
    assert (len(NO_CAUSE), len(chain), len(longer)) == (0, 1, 2)
    assert longer.callbacks == {"cb_1", "cb_2"}
    assert Cause.from_list(longer.as_list()) == longer


def test_a_whole_is_trusted_no_more_than_its_parts() -> None:
    member, outsider, unknown = AuthorTrust.MEMBER, AuthorTrust.OUTSIDER, AuthorTrust.UNKNOWN
    assert AuthorTrust.least([member, member]) is member
    assert AuthorTrust.least([member, unknown]) is unknown
    assert AuthorTrust.least([outsider, unknown, member]) is outsider
    assert AuthorTrust.least([]) is unknown
