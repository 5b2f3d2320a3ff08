"""Members and tokens."""

import pytest

from hookyard.clock import SystemClock
from hookyard.errors import ConflictError, InvalidError, NotFoundError
from hookyard.ids import TokenId, UserId, WorkspaceId
from hookyard.workspace.tokens import Scope
from tests.workspace.conftest import Place


async def test_members_join_and_leave_with_their_events(place: Place) -> None:
    joined = await place.members.add(place.id, "user-uuid-def", "孙七", place.actor)
    assert [m.user_id for m in await place.members.list(place.id)] == [joined.user_id]
    with pytest.raises(ConflictError):
        await place.members.add(place.id, "user-uuid-def", "孙七", place.actor)
    await place.members.remove(place.id, "user-uuid-def", place.actor)
    with pytest.raises(NotFoundError):
        await place.members.remove(place.id, "user-uuid-def", place.actor)
    assert place.ledger.names() == ["workspace.member_joined", "workspace.member_left"]
    assert all(draft.variables == {"userId": "user-uuid-def", "userName": "孙七"} for _, draft in place.ledger.taken)


async def test_a_token_ends_with_its_owners_place(place: Place) -> None:
    await place.members.add(place.id, "u7", "张三", place.actor)
    _, secret = await place.tokens.create("laptop", Scope.MEMBER, place.id, UserId("u7"))
    bearer = await place.tokens.bearer(secret)
    assert bearer is not None
    assert (bearer.user_name, bearer.token.scope) == ("张三", Scope.MEMBER)
    await place.members.remove(place.id, "u7", place.actor)
    assert await place.tokens.bearer(secret) is None
    await place.members.add(place.id, "u7", "张三", place.actor)
    assert await place.tokens.bearer(secret) is None


async def test_a_member_token_of_no_member_is_not_good(place: Place) -> None:
    _, secret = await place.tokens.create("x", Scope.MEMBER, place.id, UserId("stranger"))
    assert await place.tokens.bearer(secret) is None


async def test_tokens_are_listed_without_themselves_and_revoked_in_their_workspace_only(place: Place) -> None:
    token, secret = await place.tokens.create("ci", Scope.INGEST, place.id, place.actor.user_id)
    listed = await place.tokens.list(place.id)
    assert listed == [token]
    assert secret not in repr(listed)
    await place.workspaces.create("Theirs", "x")
    with pytest.raises(NotFoundError):
        await place.tokens.revoke(WorkspaceId("x"), token.id)
    with pytest.raises(NotFoundError):
        await place.tokens.revoke(None, token.id)
    assert await place.tokens.bearer(secret) is not None
    await place.tokens.revoke(place.id, token.id)
    assert await place.tokens.bearer(secret) is None
    with pytest.raises(NotFoundError):
        await place.tokens.revoke(place.id, TokenId(token.id))


async def test_a_token_ends_when_its_time_is_over(place: Place) -> None:
    now = SystemClock().now()
    _, early = await place.tokens.create("x", Scope.INGEST, place.id, place.actor.user_id, expires_at=now - 1)
    _, late = await place.tokens.create("y", Scope.INGEST, place.id, place.actor.user_id, expires_at=now + 60)
    assert await place.tokens.bearer(early) is None
    assert await place.tokens.bearer(late) is not None


async def test_workspaces_refuse_ids_that_cannot_stand_in_an_address(place: Place) -> None:
    for bad in ("", "a b", "a/b", "../x", "é", "a" * 65, "-a"):
        with pytest.raises(InvalidError):
            await place.workspaces.create("Name", bad)
    with pytest.raises(ConflictError):
        await place.workspaces.create("Again", "w")
