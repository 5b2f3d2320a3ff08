"""Members and tokens."""

import pytest

from hookyard.core.clock import SystemClock
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError
from hookyard.core.ids import TokenId, UserId, WorkspaceId
from hookyard.identity.tokens import Scope
from tests.workspace.conftest import WorkspaceEnvironment


async def test_members_join_and_leave_with_their_events(env: WorkspaceEnvironment) -> None:
    joined = await env.members.add(env.id, "user-uuid-def", "孙七", env.actor)
    assert [m.user_id for m in await env.members.list(env.id)] == [joined.user_id]
    with pytest.raises(ConflictError):
        await env.members.add(env.id, "user-uuid-def", "孙七", env.actor)
    await env.members.remove(env.id, "user-uuid-def", env.actor)
    with pytest.raises(NotFoundError):
        await env.members.remove(env.id, "user-uuid-def", env.actor)
    assert env.ledger.names() == ["workspace.member_joined", "workspace.member_left"]
    assert all(draft.variables == {"userId": "user-uuid-def", "userName": "孙七"} for _, draft in env.ledger.taken)


async def test_a_token_ends_with_its_owners_place(env: WorkspaceEnvironment) -> None:
    await env.members.add(env.id, "u7", "张三", env.actor)
    _, secret = await env.tokens.create("laptop", Scope.MEMBER, env.id, UserId("u7"))
    bearer = await env.tokens.bearer(secret)
    assert bearer is not None
    assert (bearer.user_name, bearer.token.scope) == ("张三", Scope.MEMBER)
    await env.members.remove(env.id, "u7", env.actor)
    assert await env.tokens.bearer(secret) is None
    await env.members.add(env.id, "u7", "张三", env.actor)
    assert await env.tokens.bearer(secret) is None


async def test_a_member_token_of_no_member_is_not_good(env: WorkspaceEnvironment) -> None:
    _, secret = await env.tokens.create("x", Scope.MEMBER, env.id, UserId("stranger"))
    assert await env.tokens.bearer(secret) is None


async def test_tokens_are_listed_without_themselves_and_revoked_in_their_workspace_only(
    env: WorkspaceEnvironment,
) -> None:
    token, secret = await env.tokens.create("ci", Scope.INGEST, env.id, env.actor.user_id)
    listed = await env.tokens.list(env.id)
    assert listed == [token]
    assert secret not in repr(listed)
    await env.workspaces.create("Theirs", "x")
    with pytest.raises(NotFoundError):
        await env.tokens.revoke(WorkspaceId("x"), token.id)
    with pytest.raises(NotFoundError):
        await env.tokens.revoke(None, token.id)
    assert await env.tokens.bearer(secret) is not None
    await env.tokens.revoke(env.id, token.id)
    assert await env.tokens.bearer(secret) is None
    with pytest.raises(NotFoundError):
        await env.tokens.revoke(env.id, TokenId(token.id))


async def test_a_token_ends_when_its_time_is_over(env: WorkspaceEnvironment) -> None:
    now = SystemClock().now()
    _, early = await env.tokens.create("x", Scope.INGEST, env.id, env.actor.user_id, expires_at=now - 1)
    _, late = await env.tokens.create("y", Scope.INGEST, env.id, env.actor.user_id, expires_at=now + 60)
    assert await env.tokens.bearer(early) is None
    assert await env.tokens.bearer(late) is not None


async def test_workspaces_refuse_ids_that_cannot_stand_in_an_address(env: WorkspaceEnvironment) -> None:
    for bad in ("", "a b", "a/b", "../x", "é", "a" * 65, "-a"):
        with pytest.raises(InvalidError):
            await env.workspaces.create("Name", bad)
    with pytest.raises(ConflictError):
        await env.workspaces.create("Again", "w")
