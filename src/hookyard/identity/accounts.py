"""People who can sign in: accounts, passwords, one-time login links, page sessions.

Called by `web.auth`, by the sign-in and settings pages and by `cli` (`serve`, `login-link`). Of a password an Argon2id
hash is kept, of a session and of a login link its SHA-256. Tries to sign in are counted per login and per address by
`sign_in_limit`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Insert, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError, Problem, UnauthenticatedError
from hookyard.core.ids import Ids, UserId, WorkspaceId
from hookyard.core.validation import MAX_NAME, validate_name
from hookyard.identity.passwords import Passwords
from hookyard.identity.sign_in_limit import SignInLimit
from hookyard.identity.tokens import digest
from hookyard.store import schema
from hookyard.store.database import Database

ADMINISTRATOR = "admin"
"""Login of the administrator that the first start makes."""

LINK_SECONDS = 24 * 3600.0
"""How long a one-time login link is good."""

SESSION_SECONDS = 30 * 24 * 3600.0
"""How long a page session is good."""

LANGUAGES = ("en", "zh-CN")
THEMES = ("light", "dark")


@dataclass(frozen=True, slots=True)
class User:
    """An account.

    Attributes:
        id: `usr_…`, or the id that a workspace's API client gave.
        login: What they sign in with; None: known to a workspace only.
        name: What others see.
        is_admin: Administrators may do everything.
        has_password: They can sign in without a link.
        language: `en` or `zh-CN`, None = the browser's.
        theme: `light` or `dark`, None = the system's.
        created_at: Seconds since the epoch.
        disabled_at: When the account was switched off, None = it is good.
    """

    id: UserId
    login: str | None
    name: str
    is_admin: bool
    has_password: bool
    language: str | None
    theme: str | None
    created_at: float
    disabled_at: float | None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a page session belongs to.

    Attributes:
        user: Their account.
        workspaces: Ids of the workspaces that they are a member of.
    """

    user: User
    workspaces: frozenset[WorkspaceId]


class Accounts:
    """The accounts of an installation.

    Args:
        database: Where they are kept.
        clock: Dates them, and ends links and sessions.
        ids: Names them.
        passwords: Makes and checks the hashes.
        limit: Counts the tries.
        random_text: Makes the secrets of links and sessions.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: Ids,
        passwords: Passwords | None = None,
        limit: SignInLimit | None = None,
        random_text: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._passwords = passwords or Passwords()
        self._limit = limit or SignInLimit(clock)
        self._random_text = random_text

    # -- accounts ----------------------------------------------------------------------------------------------------

    async def first_start(self) -> tuple[User, bool]:
        """Return the installation's first administrator, and whether this call created them."""
        made = User(self._ids.user(), ADMINISTRATOR, "Administrator", True, False, None, None, self._clock.now(), None)

        def write(conn: Connection) -> tuple[User, bool]:
            users = schema.users
            oldest = select(users).where(users.c.is_admin, users.c.disabled_at.is_(None)).order_by(users.c.created_at)
            row = conn.execute(oldest.limit(1)).first()
            if row is not None:
                return _user(row), False
            conn.execute(_insert(made))
            return made, True

        try:
            return await self._database.write(write)
        except IntegrityError:  # another server has just started for the first time on the same database
            return await self._database.write(write)

    async def create(self, login: str, name: str, *, is_admin: bool = False, password: str | None = None) -> User:
        """Create an account; without a password its owner signs in with a login link.

        Raises:
            InvalidError: A login, name or password that cannot be used.
            ConflictError: The login is taken.
        """
        login, name = validate_name(login, "login", 100), validate_name(name, "name")
        hashed = None if password is None else await self._passwords.hash(password)
        made = User(self._ids.user(), login, name, is_admin, bool(hashed), None, None, self._clock.now(), None)
        try:
            await self._database.write(lambda conn: conn.execute(_insert(made, hashed)))
        except IntegrityError:
            raise ConflictError("this login is taken", where=login, hint="choose another") from None
        return made

    async def get(self, user_id: UserId) -> User:
        """Return one account.

        Raises:
            NotFoundError: There is none of that id.
        """
        query = select(schema.users).where(schema.users.c.id == user_id)
        row = await self._database.read(lambda conn: conn.execute(query).first())
        if row is None:
            raise NotFoundError("no such user", where=user_id)
        return _user(row)

    async def by_login(self, login: str) -> User:
        """Return the account of a login.

        Raises:
            NotFoundError: There is none.
        """
        query = select(schema.users).where(schema.users.c.login == login)
        row = await self._database.read(lambda conn: conn.execute(query).first())
        if row is None:
            raise NotFoundError("nobody signs in as this", where=login, hint="make the account on the Settings page")
        return _user(row)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[User]:
        """Return accounts in the order of their ids, without those that cannot sign in."""
        users = schema.users
        query = select(users).where(users.c.login.is_not(None), users.c.id > after).order_by(users.c.id).limit(limit)
        return await self._database.read(lambda conn: [_user(row) for row in conn.execute(query)])

    async def change(
        self,
        user_id: UserId,
        *,
        name: str | None = None,
        is_admin: bool | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Change an account as an administrator does; disabling ends its sessions.

        Raises:
            NotFoundError: There is none of that id.
            ConflictError: It would leave no administrator.
        """
        users = schema.users
        now = self._clock.now()
        values: dict[str, object] = {}
        if name is not None:
            values["name"] = validate_name(name, "name")
        if is_admin is not None:
            values["is_admin"] = is_admin
        if disabled is not None:
            values["disabled_at"] = now if disabled else None

        def write(conn: Connection) -> User:
            if values:
                conn.execute(update(users).where(users.c.id == user_id).values(**values))
            row = conn.execute(select(users).where(users.c.id == user_id)).first()
            if row is None:
                raise NotFoundError("no such user", where=user_id)
            left = select(func.count()).select_from(users).where(users.c.is_admin, users.c.disabled_at.is_(None))
            if conn.execute(left).scalar_one() == 0:
                raise ConflictError("the last administrator must stay", hint="make another administrator first")
            if disabled:
                conn.execute(delete(schema.sessions).where(schema.sessions.c.user_id == user_id))
            return _user(row)

        return await self._database.write(write)

    async def set_preferences(self, user_id: UserId, *, language: str | None, theme: str | None) -> None:
        """Keep how a person wants the pages; None = as the browser says.

        Raises:
            InvalidError: An unknown language or theme.
        """
        for field, value, known in (("language", language, LANGUAGES), ("theme", theme, THEMES)):
            if value is not None and value not in known:
                message = f"choose {' or '.join(known)}"
                raise InvalidError(f"unknown {field}: {message}", problems=(Problem(field, message),))
        change = update(schema.users).where(schema.users.c.id == user_id).values(language=language, theme=theme)
        await self._database.write(lambda conn: conn.execute(change))

    async def set_password(self, user_id: UserId, password: str, *, current: str | None = None) -> None:
        """Give an account a password and end all its sessions.

        Args:
            user_id: Whose.
            password: The new one.
            current: The one it has; not asked for when it has none.

        Raises:
            InvalidError: A password that is too short or too long.
            UnauthenticatedError: The current one is wrong.
        """
        hashed = await self._passwords.hash(password)
        users = schema.users
        query = select(users.c.password_hash).where(users.c.id == user_id)
        old = await self._database.read(lambda conn: conn.execute(query).scalar())
        if old is not None and not await self._passwords.matches(old, current or ""):
            raise UnauthenticatedError("the current password is wrong", where="current")

        def write(conn: Connection) -> None:
            conn.execute(update(users).where(users.c.id == user_id).values(password_hash=hashed))
            conn.execute(delete(schema.sessions).where(schema.sessions.c.user_id == user_id))

        await self._database.write(write)

    # -- signing in --------------------------------------------------------------------------------------------------

    async def login_link(self, user_id: UserId) -> str:
        """Create a one-time login link for an account and return its secret."""
        secret, now = self._random_text(), self._clock.now()
        links = schema.login_links

        def write(conn: Connection) -> None:
            conn.execute(delete(links).where(or_(links.c.expires_at < now, links.c.used_at.is_not(None))))
            conn.execute(
                insert(links).values(
                    hash=digest(secret), user_id=user_id, created_at=now, expires_at=now + LINK_SECONDS
                )
            )

        await self._database.write(write)
        return secret

    async def redeem_link(self, secret: str, address: str) -> str:
        """Use a login link up; the secret of the session that it opens.

        Raises:
            UnauthenticatedError: Unknown, used or too old.
            LimitError: Too many tries from this address.
        """
        self._limit.begin(address=address)
        links, now = schema.login_links, self._clock.now()

        def write(conn: Connection) -> str | None:
            # Used and read in one statement, or two browsers could follow one link.
            return conn.execute(
                update(links)
                .where(links.c.hash == digest(secret), links.c.used_at.is_(None), links.c.expires_at > now)
                .values(used_at=now)
                .returning(links.c.user_id)
            ).scalar()

        user_id = await self._database.write(write)
        if user_id is None:
            raise UnauthenticatedError(
                "this login link is not good any more", hint="run `hookyard login-link` for another"
            )
        self._limit.succeeded(address=address)
        return await self.open_session(UserId(user_id))

    async def sign_in(self, login: str, password: str, address: str) -> str:
        """Check a login and its password; the secret of the session that they open.

        Raises:
            UnauthenticatedError: Unknown login, wrong password or disabled account; which of them is not said.
            LimitError: Too many tries for this login or from this address.
        """
        login = login.strip()[:MAX_NAME]
        self._limit.begin(address=address, login=login)
        users = schema.users.c
        query = select(users.id, users.password_hash).where(users.login == login, users.disabled_at.is_(None))
        row = await self._database.read(lambda conn: conn.execute(query).first())
        stored = None if row is None else row.password_hash
        if not await self._passwords.matches(stored, password) or row is None:
            raise UnauthenticatedError("wrong login or password", hint="try again")
        self._limit.succeeded(address=address, login=login)
        return await self.open_session(UserId(row.id))

    async def open_session(self, user_id: UserId) -> str:
        """Open a page session and return its secret."""
        secret, now = self._random_text(), self._clock.now()
        sessions = schema.sessions

        def write(conn: Connection) -> None:
            conn.execute(delete(sessions).where(sessions.c.expires_at < now))
            conn.execute(
                insert(sessions).values(
                    hash=digest(secret), user_id=user_id, created_at=now, expires_at=now + SESSION_SECONDS
                )
            )

        await self._database.write(write)
        return secret

    async def close_session(self, secret: str) -> None:
        """End a page session."""
        gone = delete(schema.sessions).where(schema.sessions.c.hash == digest(secret))
        await self._database.write(lambda conn: conn.execute(gone))

    async def signed_in(self, secret: str) -> SignedIn | None:
        """Return the owner of a session, or None when it is missing, invalid or expired."""
        users, sessions, members = schema.users, schema.sessions, schema.members
        now = self._clock.now()
        query = (
            select(users)
            .join(sessions, sessions.c.user_id == users.c.id)
            .where(sessions.c.hash == digest(secret), sessions.c.expires_at > now, users.c.disabled_at.is_(None))
        )

        def read(conn: Connection) -> SignedIn | None:
            row = conn.execute(query).first()
            if row is None:
                return None
            mine = conn.execute(select(members.c.workspace_id).where(members.c.user_id == row.id)).scalars()
            return SignedIn(_user(row), frozenset(WorkspaceId(workspace) for workspace in mine))

        return await self._database.read(read)


def _insert(user: User, password_hash: str | None = None) -> Insert:
    return insert(schema.users).values(
        id=user.id,
        login=user.login,
        name=user.name,
        password_hash=password_hash,
        is_admin=user.is_admin,
        created_at=user.created_at,
    )


def _user(row: Row[tuple[object, ...]]) -> User:
    return User(
        id=UserId(row.id),
        login=row.login,
        name=row.name,
        is_admin=row.is_admin,
        has_password=row.password_hash is not None,
        language=row.language,
        theme=row.theme,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )
