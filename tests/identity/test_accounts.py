"""Accounts: links and passwords open sessions, and nothing else does."""

import asyncio
from dataclasses import dataclass

import pytest

from hookyard.core.errors import ConflictError, InvalidError, LimitError, UnauthenticatedError
from hookyard.core.ids import Ids
from hookyard.identity.accounts import LINK_SECONDS, SESSION_SECONDS, Accounts
from hookyard.store import schema
from hookyard.store.database import Database

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """A clock that the test moves."""

    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(database: Database, clock: Clock) -> Accounts:
    return Accounts(database, clock, Ids(clock))


async def test_the_first_start_makes_one_administrator(accounts: Accounts) -> None:
    first, made = await accounts.first_start()
    again, made_again = await accounts.first_start()
    assert (made, made_again, first.is_admin) == (True, False, True)
    assert again == first


async def test_two_servers_that_start_at_once_make_one_administrator(accounts: Accounts) -> None:
    outcomes = await asyncio.gather(*(accounts.first_start() for _ in range(5)))
    assert len({user.id for user, _ in outcomes}) == 1
    assert sum(made for _, made in outcomes) == 1


async def test_a_login_link_is_good_once_and_a_day(accounts: Accounts, clock: Clock) -> None:
    admin, _ = await accounts.first_start()
    link = await accounts.login_link(admin.id)
    session = await accounts.redeem_link(link, "127.0.0.1")
    signed_in = await accounts.signed_in(session)
    assert signed_in is not None
    assert signed_in.user == admin
    with pytest.raises(UnauthenticatedError):
        await accounts.redeem_link(link, "127.0.0.1")
    late = await accounts.login_link(admin.id)
    clock.at += LINK_SECONDS + 1
    with pytest.raises(UnauthenticatedError):
        await accounts.redeem_link(late, "127.0.0.1")


async def test_one_link_opens_one_session_however_many_follow_it(accounts: Accounts) -> None:
    admin, _ = await accounts.first_start()
    link = await accounts.login_link(admin.id)
    tries = (accounts.redeem_link(link, f"10.0.0.{n}") for n in range(5))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 1


async def test_a_session_ends(accounts: Accounts, clock: Clock) -> None:
    admin, _ = await accounts.first_start()
    session = await accounts.open_session(admin.id)
    other = await accounts.open_session(admin.id)
    await accounts.close_session(session)
    assert await accounts.signed_in(session) is None
    assert await accounts.signed_in(other) is not None
    clock.at += SESSION_SECONDS + 1
    assert await accounts.signed_in(other) is None


async def test_signing_in_says_nothing_of_what_was_wrong(accounts: Accounts) -> None:
    await accounts.create("li", "李四", password=PASSWORD)
    no_password = await accounts.create("wang", "王五")
    said = set()
    for login, password in (("li", "wrong password"), ("nobody", PASSWORD), ("wang", ""), ("wang", PASSWORD)):
        with pytest.raises(UnauthenticatedError) as refused:
            await accounts.sign_in(login, password, "127.0.0.1")
        said.add(str(refused.value))
    assert len(said) == 1
    assert not no_password.has_password
    session = await accounts.sign_in(" li ", PASSWORD, "127.0.0.1")
    signed_in = await accounts.signed_in(session)
    assert signed_in is not None
    assert signed_in.user.name == "李四"


async def test_too_many_tries_are_stopped_for_the_login_and_for_the_address(accounts: Accounts, clock: Clock) -> None:
    await accounts.create("li", "李四", password=PASSWORD)
    tries = (accounts.sign_in("li", "wrong password", f"10.0.0.{n}") for n in range(25))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, UnauthenticatedError) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, LimitError) for outcome in outcomes) == 15
    with pytest.raises(LimitError) as stopped:
        await accounts.sign_in("li", PASSWORD, "127.0.0.1")
    assert stopped.value.retry_after == 300
    clock.at += 301
    await accounts.sign_in("li", PASSWORD, "127.0.0.1")
    for n in range(10):
        with pytest.raises(UnauthenticatedError):
            await accounts.sign_in(f"nobody{n}", "wrong password", "6.6.6.6")
    with pytest.raises(LimitError):
        await accounts.sign_in("li", PASSWORD, "6.6.6.6")
    await accounts.sign_in("li", PASSWORD, "127.0.0.1")


async def test_a_password_is_changed_with_the_current_one_and_ends_sessions(accounts: Accounts) -> None:
    user = await accounts.create("li", "李四", password=PASSWORD)
    session = await accounts.sign_in("li", PASSWORD, "127.0.0.1")
    with pytest.raises(UnauthenticatedError):
        await accounts.set_password(user.id, "another good one", current="wrong")
    with pytest.raises(InvalidError):
        await accounts.set_password(user.id, "short", current=PASSWORD)
    await accounts.set_password(user.id, "another good one", current=PASSWORD)
    assert await accounts.signed_in(session) is None
    await accounts.sign_in("li", "another good one", "127.0.0.1")


async def test_a_disabled_account_is_out_and_the_last_administrator_stays(accounts: Accounts) -> None:
    admin, _ = await accounts.first_start()
    user = await accounts.create("li", "李四", is_admin=True, password=PASSWORD)
    session = await accounts.sign_in("li", PASSWORD, "127.0.0.1")
    await accounts.change(user.id, disabled=True)
    assert await accounts.signed_in(session) is None
    with pytest.raises(UnauthenticatedError):
        await accounts.sign_in("li", PASSWORD, "127.0.0.1")
    with pytest.raises(ConflictError):
        await accounts.change(admin.id, disabled=True)
    with pytest.raises(ConflictError):
        await accounts.change(admin.id, is_admin=False)
    assert (await accounts.get(admin.id)).is_admin


async def test_the_database_holds_no_secret(accounts: Accounts, database: Database) -> None:
    user = await accounts.create("li", "李四", password=PASSWORD)
    link = await accounts.login_link(user.id)
    session = await accounts.open_session(user.id)
    tables = (schema.users, schema.sessions, schema.login_links)
    rows = await database.read(lambda conn: [str(conn.execute(table.select()).all()) for table in tables])
    assert not any(secret in row for row in rows for secret in (PASSWORD, link, session))
