"""`/workspaces/{w}/callbacks`: which events start which agent; versions, comparison, roll-back, check."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from hookyard.automations.callbacks import Callback
from hookyard.callbacks.spec import MAX_CONDITION, AgentChoice, CallbackSpec
from hookyard.callbacks.template import MAX_TEMPLATE, Fence
from hookyard.core.clock import iso
from hookyard.core.errors import InvalidError
from hookyard.core.ids import CallbackId, EventId
from hookyard.intake.event_history import MAX_JUDGED, BacktestChange
from hookyard.intake.event_repository import get_event_row, read_event
from hookyard.web.api.access import Access, MemberAccess, ServicesDep
from hookyard.web.api.bodies import Body
from hookyard.web.api.paging import DEFAULT_LIMIT, Cursor, Limit, page, unpack
from hookyard.web.services import Services

router = APIRouter(tags=["callbacks"])

_PATH = "/workspaces/{workspace}/callbacks"


class Check(Body):
    """A callback that is being written, and an event to try it on."""

    events: list[str]
    prompt: str = Field("", max_length=MAX_TEMPLATE)
    condition: str = Field("", max_length=MAX_CONDITION)
    concurrency_key: str | None = None
    agent: AgentChoice = ""
    fence: Literal["auto", "always", "never"] = "auto"
    event_id: str | None = None


class Edited(CallbackSpec):
    """A callback as it is to be, and how many of the newest events it is tried on.

    Attributes:
        last: Events.
    """

    last: Annotated[int, Field(ge=1, le=MAX_JUDGED)] = 100


async def checked(services: Services, access: Access, given: CallbackSpec) -> CallbackSpec:
    """Return the client's callback, after checking the agent that it names.

    Raises:
        InvalidError: There is no such agent, or an inline one cannot be used; with what else is wrong.
        NotAllowedError: An inline agent without an administrator's token.
    """
    spec = CallbackSpec.read(given.model_dump(by_alias=True, include=set(CallbackSpec.model_fields)))
    if isinstance(spec.agent, dict):
        access.principal.require()
    try:
        await services.agent_profiles.check_choice(spec.agent)
    except InvalidError as error:
        found = [problem for problem in await services.callbacks.check(spec) if problem.severity == "error"]
        if not found:
            raise
        raise InvalidError("the callback has mistakes", where=spec.name, problems=(*found, *error.problems)) from None
    return spec


@router.post(_PATH, status_code=HTTPStatus.CREATED)
async def create_callback(services: ServicesDep, access: MemberAccess, body: CallbackSpec) -> dict[str, Any]:
    """Make a callback; refused with every mistake's place. `problems` in the answer are warnings."""
    spec = await checked(services, access, body)
    made = await services.callbacks.create(access.workspace_id, spec, author=access.actor.name)
    return show(made) | await _warnings(services, spec)


@router.get(_PATH)
async def list_callbacks(
    services: ServicesDep, access: MemberAccess, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """List callbacks, oldest first."""
    (after,) = unpack(cursor, str) or (None,)
    found = await services.callbacks.list(access.workspace_id, limit=limit + 1, after=after)
    return page(found, limit, show, lambda callback: (callback.id,))


@router.post(_PATH + "/check")
async def check_callback(services: ServicesDep, access: MemberAccess, body: Check) -> dict[str, Any]:
    """Check a callback that is being edited; with an `eventId`, also return what it would do with that event."""
    found = await services.callbacks.check_parts(body.events, body.prompt, body.condition, body.concurrency_key)
    if isinstance(body.agent, dict):
        access.principal.require()
    try:
        await services.agent_profiles.check_choice(body.agent)
    except InvalidError as error:
        found = [*found, *error.problems]
    answer: dict[str, Any] = {"problems": [problem.as_dict() for problem in found]}
    if body.event_id is None:
        return answer
    event_id = EventId(body.event_id)
    row = await services.database.read(lambda conn: get_event_row(conn, access.workspace_id, event_id))
    tried = await services.preview(read_event(row), body.prompt, body.condition, Fence(body.fence))
    return {**answer, "matched": tried.matched, "error": tried.error, "prompt": tried.prompt}


@router.post(_PATH + "/time-machine")
async def judge_new_callback(services: ServicesDep, access: MemberAccess, body: Edited) -> dict[str, Any]:
    """Return which of the newest events an unsaved callback would match. Nothing is stored or started."""
    return await _judged(services, access, None, body)


@router.post(_PATH + "/{callback}/time-machine")
async def judge_edited_callback(
    services: ServicesDep, access: MemberAccess, callback: str, body: Edited
) -> dict[str, Any]:
    """Return which verdicts on the newest events an edit would change. Nothing is stored or started.

    Judged is what a callback says of single events: its events, its authors, its condition.
    """
    return await _judged(services, access, CallbackId(callback), body)


async def _judged(services: Services, access: Access, callback_id: CallbackId | None, body: Edited) -> dict[str, Any]:
    spec = await checked(services, access, body)
    await services.callbacks.reject_invalid(spec)
    looked_at, changes = await services.history.backtest(access.workspace_id, callback_id, spec, last=body.last)
    return {"lookedAt": looked_at, "changes": [_show_change(change) for change in changes]}


def _show_change(change: BacktestChange) -> dict[str, Any]:
    event = change.event
    return {
        "eventId": event.id,
        "eventName": event.name,
        "timestamp": event.timestamp,
        "before": change.before,
        "after": change.after,
        "error": change.error,
    }


@router.get(_PATH + "/{callback}")
async def get_callback(services: ServicesDep, access: MemberAccess, callback: str) -> dict[str, Any]:
    """Return one callback."""
    return show(await services.callbacks.get(access.workspace_id, CallbackId(callback)))


@router.put(_PATH + "/{callback}")
async def put_callback(
    services: ServicesDep,
    access: MemberAccess,
    callback: str,
    body: CallbackSpec,
    version: Annotated[int | None, Query(description="Refuse with 409 if it is not of this version any more")] = None,
) -> dict[str, Any]:
    """Change all that a callback says; every change is a version. Waiting runs keep the version that they matched."""
    spec = await checked(services, access, body)
    changed = await services.callbacks.replace(
        access.workspace_id, CallbackId(callback), spec, author=access.actor.name, expected_version=version
    )
    return show(changed) | await _warnings(services, spec)


@router.delete(_PATH + "/{callback}", status_code=HTTPStatus.NO_CONTENT)
async def delete_callback(services: ServicesDep, access: MemberAccess, callback: str) -> Response:
    """Delete a callback; its runs that have not started are skipped."""
    await services.callbacks.delete(access.workspace_id, CallbackId(callback))
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get(_PATH + "/{callback}/versions")
async def list_versions(services: ServicesDep, access: MemberAccess, callback: str) -> dict[str, Any]:
    """List every version, newest first."""
    found = await services.callbacks.versions(access.workspace_id, CallbackId(callback))
    items = [
        {"version": one.number, "author": one.author, "createdAt": iso(one.created_at), **one.spec.as_dict()}
        for one in found
    ]
    return {"items": items, "nextCursor": None}


@router.get(_PATH + "/{callback}/diff")
async def diff_versions(
    services: ServicesDep,
    access: MemberAccess,
    callback: str,
    old: Annotated[int, Query(alias="from")],
    new: Annotated[int, Query(alias="to")],
) -> dict[str, Any]:
    """Return the changes between two versions as a unified diff of their YAML."""
    return {"diff": await services.callbacks.diff(access.workspace_id, CallbackId(callback), old, new)}


@router.post(_PATH + "/{callback}/versions/{version}/restore")
async def restore_version(services: ServicesDep, access: MemberAccess, callback: str, version: int) -> dict[str, Any]:
    """Make a new version that says what an old one said."""
    old = await services.callbacks.version(access.workspace_id, CallbackId(callback), version)
    await checked(services, access, old.spec)
    restored = await services.callbacks.roll_back(
        access.workspace_id, CallbackId(callback), version, author=access.actor.name
    )
    return show(restored)


def show(callback: Callback) -> dict[str, Any]:
    """Return a callback as the API shows it."""
    failed = callback.condition_error
    return {
        "id": callback.id,
        **callback.spec.as_dict(),
        "version": callback.version,
        "createdBy": callback.created_by,
        "createdAt": iso(callback.created_at),
        "updatedAt": iso(callback.updated_at),
        "conditionError": None if failed is None else {**failed, "at": iso(failed["at"])},
    }


async def _warnings(services: Services, spec: CallbackSpec) -> dict[str, Any]:
    return {"problems": [problem.as_dict() for problem in await services.callbacks.check(spec)]}
