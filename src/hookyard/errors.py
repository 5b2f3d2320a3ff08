"""The errors that hookyard raises.

A user error says what is wrong, where, and the mend. Two branches matter to callers: a
`PermanentError` will fail again however often it is tried; a `TemporaryError` may pass later. Exceptions of
libraries are translated into these in the module that owns the library.
"""

from __future__ import annotations


class HookyardError(Exception):
    """Base of all errors that hookyard raises on purpose.

    Args:
        what: One sentence in plain words: what is wrong.
        where: File and line, field, URL without credentials, or the like.
        mend: What the reader can do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.mend})" if self.mend else text


class PermanentError(HookyardError):
    """Trying the same thing again cannot succeed."""


class TemporaryError(HookyardError):
    """The same thing may succeed later.

    Args:
        retry_after: Seconds to wait before the next try, when known.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        mend: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.retry_after = retry_after


class StaleError(TemporaryError):
    """What was read has changed before it could be written: read again and decide again. Nothing was written."""


class LimitError(TemporaryError):
    """Too much for now: a full backlog, too many tries to sign in. Nothing was stored."""


class UnauthenticatedError(PermanentError):
    """Nobody knows who asks: no token, or one that is not good (any more)."""


class NotFoundError(PermanentError):
    """The thing does not exist, or the asker may not know that it does."""


class NotAllowedError(PermanentError):
    """The asker is known and may not do this."""


class ConflictError(PermanentError):
    """The thing is not in a state in which this can be done."""


class InvalidError(PermanentError):
    """Input that was refused; nothing was changed.

    Args:
        problems: One entry per fault, in the order of the input.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        mend: str | None = None,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.problems = problems


class TooLargeError(PermanentError):
    """More was sent than is read; nothing was changed."""


class Problem:
    """One fault in a user's input, with its place.

    Attributes:
        field: Name of the field, `""` for the whole.
        message: What is wrong and the mend.
        severity: `"error"` or `"warning"`.
        line: 1-based line in the field's text, or None.
        column: 1-based column in the field's text, or None.
        index: Index in a batch, or None.
    """

    __slots__ = ("column", "field", "index", "line", "message", "severity")

    def __init__(
        self,
        field: str,
        message: str,
        *,
        severity: str = "error",
        line: int | None = None,
        column: int | None = None,
        index: int | None = None,
    ) -> None:
        self.field = field
        self.message = message
        self.severity = severity
        self.line = line
        self.column = column
        self.index = index

    def __repr__(self) -> str:
        return f"Problem({self.field!r}, {self.message!r}, {self.severity}, {self.line}:{self.column})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.field, self.message, self.severity, self.line, self.column, self.index))

    def as_dict(self) -> dict[str, str | int | None]:
        """The problem as the API shows it: severity, field, line, column, message (and index in a batch)."""
        shown: dict[str, str | int | None] = {
            "severity": self.severity,
            "field": self.field,
            "line": self.line,
            "column": self.column,
            "message": self.message,
        }
        if self.index is not None:
            shown["index"] = self.index
        return shown
