"""The errors that hookyard raises.

A user error says what is wrong, where, and the fix, by a code of the catalogue (`hookyard.core.message_catalog`) and
its parameters. Two branches matter to callers: a `PermanentError` will fail again however often it is tried; a
`TemporaryError` may pass later. The module that owns a library translates the library's exceptions into these.
"""

from __future__ import annotations

import re

from hookyard.core.message_catalog import DEFAULT_LANGUAGE, Message, Param

_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


class HookyardError(Exception):
    """Base of all errors that hookyard raises on purpose.

    Args:
        code: Code of the catalogue, such as `callback_not_found`, or a whole message, such as another error's.
        where: File and line, field, URL without credentials, or the like.
        params: Values of the placeholders in the code's texts.
    """

    def __init__(self, code: str | Message, *, where: str | None = None, hint: str | None = None, **params: Param):
        self.legacy_hint = hint
        self.message = code if isinstance(code, Message) else _message(code, params)
        self.where = where
        super().__init__(code)

    @property
    def code(self) -> str:
        """The stable code; empty when the text is another program's own."""
        return self.message.code

    @property
    def what(self) -> str:
        """What is wrong, in English."""
        return self.message.text()

    @property
    def hint(self) -> str | None:
        """What the reader can do about it, in English."""
        return self.legacy_hint or self.message.hint()

    def sentence(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return where, what and hint as one line in a language."""
        text, hint = self.message.text(language), self.legacy_hint or self.message.hint(language)
        colon, opening, closing = ("：", "（", "）") if language == "zh-CN" else (": ", " (", ")")
        line = f"{self.where}{colon}{text}" if self.where else text
        return f"{line}{opening}{hint}{closing}" if hint else line

    def __str__(self) -> str:
        return self.sentence()


class PermanentError(HookyardError):
    """Trying the same thing again cannot succeed."""


class TemporaryError(HookyardError):
    """The same thing may succeed later.

    Args:
        retry_after: Seconds to wait before the next try, when known.
    """

    def __init__(
        self,
        code: str | Message,
        *,
        where: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
        **params: Param,
    ) -> None:
        super().__init__(code, where=where, hint=hint, **params)
        self.retry_after = retry_after


class UnavailableError(TemporaryError):
    """The database cannot be used now: it is away, silent, locked, full or read-only.

    Args:
        maybe_stored: The answer to a commit was lost, so that what was written may be there or not.
    """

    def __init__(
        self,
        code: str | Message,
        *,
        where: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
        maybe_stored: bool = False,
        **params: Param,
    ) -> None:
        super().__init__(code, where=where, hint=hint, retry_after=retry_after, **params)
        self.maybe_stored = maybe_stored


class StaleError(TemporaryError):
    """What was read has changed before it could be written: read and decide again. Nothing was written."""


class LimitError(TemporaryError):
    """Too much for now: a full backlog, too many attempts to sign in. Nothing was stored."""


class UnauthenticatedError(PermanentError):
    """Missing, invalid or expired credentials."""


class NotFoundError(PermanentError):
    """The object does not exist, or the caller may not know that it does."""


class NotAllowedError(PermanentError):
    """The caller is known and lacks the permission."""


class ConflictError(PermanentError):
    """The object is not in a state in which this can be done."""


class InvalidError(PermanentError):
    """Rejected input; nothing was changed.

    Args:
        problems: One entry per fault, in the order of the input.
    """

    def __init__(
        self,
        code: str | Message,
        *,
        where: str | None = None,
        hint: str | None = None,
        problems: tuple[Problem, ...] = (),
        **params: Param,
    ) -> None:
        super().__init__(code, where=where, hint=hint, **params)
        self.problems = problems


class TooLargeError(PermanentError):
    """The request exceeds a size limit; nothing was changed."""


class Problem:
    """One fault in a user's input, with its place.

    Args:
        field: Name of the field, `""` for the whole.
        code: Code of the catalogue, or a whole message.
        severity: `"error"` or `"warning"`.
        line: 1-based line in the field's text, or None.
        column: 1-based column in the field's text, or None.
        index: Index in a batch, or None.
        params: Values of the placeholders in the code's texts.
    """

    __slots__ = ("column", "detail", "field", "index", "line", "severity")

    def __init__(
        self,
        field: str,
        code: str | Message,
        *,
        severity: str = "error",
        line: int | None = None,
        column: int | None = None,
        index: int | None = None,
        **params: Param,
    ) -> None:
        self.field = field
        self.detail = code if isinstance(code, Message) else _message(code, params)
        self.severity = severity
        self.line = line
        self.column = column
        self.index = index

    @property
    def code(self) -> str:
        """The stable code; empty when the text is another program's own."""
        return self.detail.code

    @property
    def message(self) -> str:
        """What is wrong and the fix, in English."""
        return self.text()

    def text(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return what is wrong and the fix in a language."""
        text, hint = self.detail.text(language), self.detail.hint(language)
        if not hint:
            return text
        return f"{text}；{hint}" if language == "zh-CN" else f"{text}; {hint}"

    def with_field(self, field: str) -> Problem:
        """Return the same problem at another field, such as one inside a larger form."""
        return Problem(field, self.detail, severity=self.severity, line=self.line, column=self.column, index=self.index)

    def __repr__(self) -> str:
        return f"Problem({self.field!r}, {self.message!r}, {self.severity}, {self.line}:{self.column})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.field, self.message, self.severity, self.line, self.column, self.index))

    def as_dict(self) -> dict[str, object]:
        """Return the problem as the API shows it: severity, field, line, column, message, code, params, index."""
        shown: dict[str, object] = {
            "severity": self.severity,
            "field": self.field,
            "line": self.line,
            "column": self.column,
            "message": self.message,
        }
        if self.code:
            shown.update(self.detail.as_dict())
        if self.index is not None:
            shown["index"] = self.index
        return shown


class CodedValueError(ValueError):
    """A validator's rejection of a value, with a code; `pydantic_errors` turns it into a `Problem`."""

    def __init__(self, code: str | Message, **params: Param) -> None:
        self.detail = code if isinstance(code, Message) else _message(code, params)
        super().__init__(self.detail.sentence())


def _message(code: str, params: dict[str, Param]) -> Message:
    # Texts instead of codes are accepted until every package has its catalogue.
    return Message(code, params) if _CODE.fullmatch(code) else Message.literal(code)
