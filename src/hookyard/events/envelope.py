"""One HTTP request in, checked drafts of events out.

Four wire forms: a flat JSON object of the variables; CloudEvents 1.0 structured, binary and batched
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md). Called by
`web.ingest` on the hot path. Refuses with every problem that it finds, and a batch as a whole. Never reads trust or
cause from a request, and touches no database.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import pydantic_core

from hookyard.core.clock import from_iso
from hookyard.core.errors import InvalidError, Problem
from hookyard.events.catalog import (
    LARGEST_INTEGER,
    MAX_NAME,
    Catalog,
    EventType,
    Value,
    VariableType,
    nearest,
    unknown_event,
)
from hookyard.events.model import API_SOURCE, RESERVED_SOURCES, AuthorTrust, EventDraft

MAX_BODY_BYTES = 1024 * 1024
"""Size of a request; the contract's bound."""

MAX_BATCH = 1000
"""Events in one CloudEvents batch: what one group commit still stores in well under a second."""

MAX_ATTRIBUTE = 512
"""Characters of an id, a source or an operationId: they are keys of an index."""

MAX_PROBLEMS = 100
"""Problems that one answer names."""

_LATEST = 253_402_300_800.0  # the year 10000, which ISO 8601 writes otherwise
_TOKEN = r"[a-z0-9!#$&^_.+-]+"  # noqa: S105 - a pattern of media types
_JSON_TYPE = re.compile(rf"({_TOKEN}/)({_TOKEN}\+)?json")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]+")
_QUOTED_PAIR = re.compile(r"\\(.)")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")

_STRING, _NUMBER, _BOOLEAN = VariableType.STRING, VariableType.NUMBER, VariableType.BOOLEAN
_COMMON_KEYS = frozenset({"eventName", "workspaceId", "timestamp"})
_FLAT_KEYS = _COMMON_KEYS | {"id", "source", "operationId"}


class Parsed(NamedTuple):
    """What a request holds.

    Attributes:
        drafts: Its events in their order.
        batch: It was a batch, so the answer is a list too.
    """

    drafts: tuple[EventDraft, ...]
    batch: bool = False


class _Form(NamedTuple):
    """One event as it stands in a request, nothing checked yet; None = absent."""

    name: object
    name_field: str
    id: object
    source: object
    operation: object
    operation_field: str
    time: object
    time_field: str
    data: dict[str, object]
    keys: frozenset[str]  # keys of the data that are no variables


class _Envelope:
    """Reads events for one workspace."""

    __slots__ = ("catalog", "text_may_hold_nul", "trust", "workspace_id")

    def __init__(self, workspace_id: str, catalog: Catalog, trust: AuthorTrust, *, text_may_hold_nul: bool) -> None:
        self.workspace_id = workspace_id
        self.catalog = catalog
        self.trust = trust
        self.text_may_hold_nul = text_may_hold_nul

    def draft(self, form: _Form, problems: list[Problem], index: int | None = None) -> EventDraft | None:
        """Return the checked event draft, or None with the problems added."""
        name = form.name
        spec = self.catalog.get(name) if isinstance(name, str) else None
        values = None if spec is None else self._variables(spec, form)
        if spec is not None and values is not None and self._plain(form):
            return EventDraft(
                spec.name,
                values,
                API_SOURCE if form.source is None else str(form.source),
                None if form.id is None else str(form.id),
                None if form.operation is None else str(form.operation),
                None if form.time is None else from_iso(str(form.time)),
                self.trust,
            )
        problems.extend(self._problems(spec, form, index))
        return None

    def _variables(self, spec: EventType, form: _Form) -> dict[str, Value] | None:
        """Return the variables when all are valid and there are no others, else None."""
        data = form.data
        values: dict[str, Value] = {}
        for name, kind in spec.types.items():
            value = data.get(name)
            if type(value) is str and kind is _STRING:
                if self.text_may_hold_nul and "\x00" in value:
                    return None
                values[name] = value
            elif kind is _NUMBER and (number := _number(value)) is not None:
                values[name] = number
            elif type(value) is bool and kind is _BOOLEAN:
                values[name] = value
            else:
                return None
        others = len(data) - len(values)
        return values if others == len(data.keys() & form.keys) else None

    def _plain(self, form: _Form) -> bool:
        workspace = form.data.get("workspaceId")
        return (
            (workspace is None or workspace == self.workspace_id)
            and (form.id is None or _attribute(form.id) is None)
            and (form.operation is None or _attribute(form.operation) is None)
            and (form.source is None or (_attribute(form.source) is None and _source(form.source) is None))
            and (form.time is None or _time(form.time) is None)
            and form.data.get("eventName", form.name) == form.name
        )

    def _problems(self, spec: EventType | None, form: _Form, index: int | None) -> list[Problem]:
        found = self._common_problems(spec, form)
        if spec is not None:
            found += [(name, _variable(form.data, name, kind)) for name, kind in spec.types.items()]
            others = (name for name in form.data if name not in spec.types and name not in form.keys)
            found += [(name, _unknown_variable(name, spec)) for name in others]
        return [Problem(field[:MAX_NAME], message, index=index) for field, message in found if message is not None]

    def _common_problems(self, spec: EventType | None, form: _Form) -> list[tuple[str, str | None]]:
        """Return field and message of every fault outside the variables; None = no fault."""
        found: list[tuple[str, str | None]] = []
        if spec is None:
            found.append((form.name_field, _unknown_name(form.name, self.catalog)))
        elif form.data.get("eventName", form.name) != form.name:
            found.append(("eventName", f"is not the event's type {spec.name}; leave it out"))
        workspace = form.data.get("workspaceId")
        if workspace is not None and workspace != self.workspace_id:
            message = f"is {_shown(workspace)}, but the event was sent to {self.workspace_id!r}; make them agree"
            found.append(("workspaceId", message))
        keys = (("id", form.id), (form.operation_field, form.operation), ("source", form.source))
        found += [(field, _attribute(value)) for field, value in keys if value is not None]
        if form.source is not None:
            found.append(("source", _source(form.source)))
        if form.time is not None:
            found.append((form.time_field, _time(form.time)))
        return found


def parse(
    body: bytes,
    headers: Mapping[str, str],
    workspace_id: str,
    catalog: Catalog,
    author_trust: AuthorTrust = AuthorTrust.UNKNOWN,
) -> Parsed:
    """Read one request.

    Args:
        body: Its body.
        headers: Its headers, names in lower case, values as Latin-1 text.
        workspace_id: The workspace that it was sent to.
        catalog: The known event types.
        author_trust: The trust of the sender.

    Raises:
        InvalidError: Anything wrong anywhere; names every problem, in a batch with the event's index.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    door = _Envelope(workspace_id, catalog, author_trust, text_may_hold_nul=b"\\u0000" in body)
    if media_type == "application/cloudevents-batch+json":
        return _batch(door, _json(body))
    problems: list[Problem] = []
    if media_type == "application/cloudevents+json":
        form = _structured(_json(body), problems)
    elif not media_type.startswith("application/cloudevents") and any(name.startswith("ce-") for name in headers):
        door.text_may_hold_nul = True
        form = _binary(headers, body, media_type, problems)
    elif media_type.startswith("application/cloudevents"):
        raise InvalidError(
            f"cannot read {media_type[:MAX_NAME]!r}", where="content-type", hint="send CloudEvents as JSON"
        )
    else:
        content = _json(body)
        structured = isinstance(content, dict) and "specversion" in content and "eventName" not in content
        form = _structured(content, problems) if structured else _flat(content, problems)
    draft = None if form is None else door.draft(form, problems)
    if problems or draft is None:
        raise _refused(problems)
    return Parsed((draft,))


def _batch(door: _Envelope, content: object) -> Parsed:
    if not isinstance(content, list):
        raise InvalidError("a CloudEvents batch is a JSON array", hint="send an array of CloudEvents")
    if len(content) > MAX_BATCH:
        raise InvalidError(f"the batch has {len(content)} events", hint=f"send at most {MAX_BATCH} at once")
    problems: list[Problem] = []
    drafts: list[EventDraft] = []
    for index, item in enumerate(content):
        form = _structured(item, problems, index)
        draft = None if form is None else door.draft(form, problems, index)
        if draft is not None:
            drafts.append(draft)
    if problems:
        raise _refused(problems)
    return Parsed(tuple(drafts), batch=True)


def _refused(problems: list[Problem]) -> InvalidError:
    shown = problems[:MAX_PROBLEMS]
    if len(problems) > MAX_PROBLEMS:
        shown.append(Problem("", f"and {len(problems) - MAX_PROBLEMS} more"))
    return InvalidError("the event was refused; nothing was stored", problems=tuple(shown))


def _json(body: bytes) -> object:
    if len(body) > MAX_BODY_BYTES:
        raise InvalidError("the body is too large", hint=f"send at most {MAX_BODY_BYTES} bytes")
    try:
        content: object = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidError(f"the body is no JSON: {error}", hint="send a JSON object in UTF-8") from None
    return content


def _flat(content: object, problems: list[Problem]) -> _Form | None:
    if not isinstance(content, dict):
        hint = "send an object, or several CloudEvents as application/cloudevents-batch+json"
        problems.append(Problem("", f"an event is a JSON object, not {_kind(content)}; {hint}"))
        return None
    get = content.get
    return _Form(
        get("eventName"), "eventName", get("id"), get("source"), get("operationId"), "operationId", get("timestamp"),
        "timestamp", content, _FLAT_KEYS,
    )  # fmt: skip


def _structured(content: object, problems: list[Problem], index: int | None = None) -> _Form | None:
    if not isinstance(content, dict):
        problems.append(Problem("", f"a CloudEvent is a JSON object, not {_kind(content)}", index=index))
        return None
    data = content.get("data")
    if "data_base64" in content:
        if data is not None:
            problems.append(Problem("data_base64", "give data or data_base64, not both", index=index))
        data = _decoded(content["data_base64"], problems, index)
    for name, value in content.items():
        if name not in ("data", "data_base64"):
            _check_attribute_name(name, value, problems, index)
    media_type = content.get("datacontenttype")
    return _cloud_event(content, data, media_type, problems, index)


def _binary(headers: Mapping[str, str], body: bytes, media_type: str, problems: list[Problem]) -> _Form | None:
    attributes: dict[str, object] = {}
    for header, value in headers.items():
        if header.startswith("ce-"):
            name = header[3:]
            try:
                attributes[name] = _header_value(value)
            except ValueError as error:
                attributes[name] = value  # given, so that it is not called missing as well
                problems.append(Problem(header[:MAX_NAME], f"cannot be decoded: {error}"))
            if not _ATTRIBUTE_NAME.fullmatch(name):
                problems.append(Problem(header[:MAX_NAME], _misnamed(name)))
    data = _json(body) if body else None
    return _cloud_event(attributes, data, media_type or None, problems, None)


def _cloud_event(
    attributes: Mapping[str, object], data: object, media_type: object, problems: list[Problem], index: int | None
) -> _Form | None:
    before = len(problems)
    version = attributes.get("specversion")
    if version is not None and version != "1.0":
        problems.append(Problem("specversion", f"is {_shown(version)}; only CloudEvents 1.0 is read", index=index))
    problems.extend(
        Problem(name, "is missing; every CloudEvent has it", index=index)
        for name in ("specversion", "id", "source", "type")
        if attributes.get(name) is None
    )
    problems.extend(
        Problem(name, "is empty; leave it out or give it", index=index)
        for name in ("subject", "dataschema")
        if attributes.get(name) == ""
    )
    if media_type is not None and not (isinstance(media_type, str) and _is_json(media_type)):
        problems.append(Problem("datacontenttype", f"is {_shown(media_type)}; send JSON", index=index))
    if not isinstance(data, dict):
        if len(problems) == before and not (data is None and "data_base64" in attributes):
            problems.append(Problem("data", f"holds the variables as an object, not {_kind(data)}", index=index))
        return None
    get = attributes.get
    time, time_field = (get("time"), "time") if get("time") is not None else (data.get("timestamp"), "timestamp")
    if get("type") is None:
        return None
    return _Form(
        get("type"), "type", get("id"), get("source"), get("operationid"), "operationid", time, time_field, data,
        _COMMON_KEYS,
    )  # fmt: skip


def _check_attribute_name(name: str, value: object, problems: list[Problem], index: int | None) -> None:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        problems.append(Problem(name[:MAX_NAME], _misnamed(name), index=index))
    elif isinstance(value, dict | list | float):
        message = f"an attribute cannot be {_kind(value)}; the variables belong into data"
        problems.append(Problem(name[:MAX_NAME], message, index=index))


def _misnamed(name: str) -> str:
    letters = name.lower().replace("-", "").replace("_", "")
    near = "did you mean operationid?" if letters == "operationid" else "the variables belong into data"
    return f"attributes are named with lower-case letters and digits; {near}"


def _decoded(text: object, problems: list[Problem], index: int | None) -> object:
    try:
        return _json(base64.b64decode(text if isinstance(text, str) else "", validate=True))
    except (InvalidError, binascii.Error, ValueError):
        problems.append(Problem("data_base64", "is no JSON in base 64", index=index))
        return None


def _header_value(text: str) -> str:
    """Undo what section 3.1.3.2 of the binding does to a value: first the quotes, then one round of percent signs.

    Letters that were not encoded at all are taken as the UTF-8 that most senders mean by them.
    """
    if not text.isascii():
        with suppress(UnicodeError):
            text = text.encode("latin-1").decode()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = _QUOTED_PAIR.sub(r"\1", text[1:-1])
    if "%" not in text:
        return text
    if _BAD_PERCENT.search(text):
        raise ValueError("a percent sign without two hexadecimal digits")
    return unquote_to_bytes(text).decode()


def _is_json(media_type: str) -> bool:
    return _JSON_TYPE.fullmatch(media_type.partition(";")[0].strip().lower()) is not None


def _number(value: object) -> int | float | None:
    """Return a number that can be stored and that JavaScript reads equally, whole ones as int, else None."""
    if type(value) is int:
        return value if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else None
    if type(value) is float and math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) <= LARGEST_INTEGER else value
    return None


def _attribute(value: object) -> str | None:
    """Return the fault of an id, a source or an operationId."""
    if type(value) is not str:
        return f"must be a string, but {_kind(value)} was sent"
    if not value:
        return "is empty; leave it out or give it"
    if len(value) > MAX_ATTRIBUTE:
        return f"has {len(value)} characters; at most {MAX_ATTRIBUTE} are allowed"
    return "has control characters; leave them out" if _CONTROL.search(value) else None


def _source(value: object) -> str | None:
    if isinstance(value, str) and value.lower().startswith(RESERVED_SOURCES):
        return f"begins with {RESERVED_SOURCES}, which is kept for the server's own events; choose another"
    return None


def _time(value: object) -> str | None:
    """Return the fault of a timestamp."""
    try:
        if type(value) is str and len(value) <= 64 and 0 <= from_iso(value) < _LATEST:
            return None
    except (ValueError, OverflowError):
        pass
    return f"{_shown(value)} is no time in ISO 8601 from 1970 on, such as 2026-01-15T09:00:00Z"


def _variable(data: Mapping[str, object], name: str, kind: VariableType) -> str | None:
    if name not in data:
        return f"is missing; it is a {kind}"
    value = data[name]
    if not kind.holds(value):
        return f"must be a {kind}, but {_kind(value)} was sent"
    if isinstance(value, str) and "\x00" in value:
        return "has a NUL character; leave it out"
    if kind is VariableType.NUMBER and _number(value) is None:
        return "is too large for a number of JavaScript"
    return None


def _unknown_variable(name: str, spec: EventType) -> str:
    near = nearest(name, spec.types)
    hint = f"did you mean {near}?" if near else f"it has {', '.join(spec.types) or 'none'}"
    return f"{spec.name} has no such variable; {hint}"


def _unknown_name(name: object, catalog: Catalog) -> str:
    if isinstance(name, str):
        return unknown_event(name, catalog)
    return "is missing; name the event" if name is None else f"must be a string, but {_kind(name)} was sent"


def _kind(value: object) -> str:
    """Return the JSON name of a value's type."""
    if value is None:
        return "null"
    names: dict[type, str] = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    """Return a value from outside, short enough for a message."""
    return repr(value[:MAX_NAME]) if isinstance(value, str) else _kind(value)
