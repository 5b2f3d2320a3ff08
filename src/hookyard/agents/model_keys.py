"""Keys of model providers, kept encrypted under the providers' own variable names; they go in and never come out.

Kept by the settings page, used by `runs.environments` when an agent with a model starts. A variable of the process's
own environment wins over a kept one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from hookyard.core.clock import Clock
from hookyard.core.errors import InvalidError, NotFoundError, Problem
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.store.secrets import SecretBox

_VARIABLE = re.compile(r"(?!HOOKYARD_)[A-Z][A-Z0-9_]{1,80}_(API_KEY|KEY|KEY_ID|TOKEN|BASE_URL|ENDPOINT|REGION)\Z")
"""Variables of providers, and none with which a process could be taken over."""

_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class StoredModelKey:
    """A key as it may be shown.

    Attributes:
        variable: Such as `ANTHROPIC_API_KEY`.
        updated_at: Seconds since the epoch.
    """

    variable: str
    updated_at: float


class ModelKeys:
    """The keys of an installation.

    Args:
        database: Where they are kept.
        box: Encrypts them.
        clock: Dates them.
    """

    def __init__(self, database: Database, box: SecretBox, clock: Clock) -> None:
        self._database = database
        self._box = box
        self._clock = clock

    async def put(self, variable: str, value: str) -> None:
        """Keep a key, in the place of an older one.

        Raises:
            InvalidError: A variable or a value that cannot be used.
        """
        if not _VARIABLE.match(variable):
            message = "is no variable of a provider; use its own name, such as ANTHROPIC_API_KEY"
            raise InvalidError(f"variable {message}", problems=(Problem("variable", message),))
        if not value or len(value) > _LONGEST or not value.isprintable():
            message = f"is no key; give one line of at most {_LONGEST} characters"
            raise InvalidError(f"value {message}", problems=(Problem("value", message),))
        table, row = schema.model_keys, {"variable": variable, "updated_at": self._clock.now()}
        sealed = self._box.seal(value)

        def write(conn: Connection) -> None:
            conn.execute(delete(table).where(table.c.variable == variable))
            conn.execute(insert(table).values(value=sealed, **row))

        await self._database.write(write)

    async def list(self) -> Sequence[StoredModelKey]:
        """Return which keys are stored, without their values."""
        table = schema.model_keys
        query = select(table.c.variable, table.c.updated_at).order_by(table.c.variable)
        return await self._database.read(lambda conn: [StoredModelKey(*row) for row in conn.execute(query)])

    async def remove(self, variable: str) -> None:
        """Forget a key.

        Raises:
            NotFoundError: It is not kept.
        """
        gone = delete(schema.model_keys).where(schema.model_keys.c.variable == variable)
        if (await self._database.write(lambda conn: conn.execute(gone))).rowcount == 0:
            raise NotFoundError("this key is not kept", where=variable[:100])

    async def values(self) -> Mapping[str, str]:
        """Return the keys themselves, for starting agents; never shown on a page."""
        table = schema.model_keys
        query = select(table.c.variable, table.c.value)
        rows = await self._database.read(lambda conn: conn.execute(query).all())
        return {row.variable: self._box.unseal(row.value) for row in rows}


class ProviderEnvironment:
    """The variables of this process with the kept keys among them: where the providers' libraries look.

    Args:
        keys: The kept keys.
        environ: The process's variables; kept keys are written into it, since the libraries read it themselves.
    """

    def __init__(self, keys: ModelKeys, environ: MutableMapping[str, str]) -> None:
        self._keys = keys
        self._environ = environ
        self._written: dict[str, str] = {}

    async def current(self) -> Mapping[str, str]:
        """Return the environment variables with the keys as they are stored now.

        Raises:
            HookyardError: A kept key cannot be read.
        """
        kept = await self._keys.values()
        for variable, value in self._written.items():
            if variable not in kept and self._environ.get(variable) == value:
                del self._environ[variable]
        self._written = {v: value for v, value in self._written.items() if v in kept}
        for variable, value in kept.items():
            if self._environ.get(variable) in (None, "", self._written.get(variable)):
                self._environ[variable] = self._written[variable] = value
        return self._environ
