"""The local receiver behind `hookyard hooks listen`: prints every request as it arrives and answers as configured.

Called by the command line. It is what people want instead of a web service that sees their prompts. What arrives is
hostile text: it is bounded, and nothing of it reaches the terminal as a control sequence. Values of headers that carry
credentials are neither shown nor saved.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookyard.core.clock import Clock, iso
from hookyard.core.errors import InvalidError
from hookyard.hooks.delivery import signing
from hookyard.hooks.formats.fitting import clip_lines, cut, one_line, visible
from hookyard.hooks.redaction.secret_rules import Action, Rule, judge

if TYPE_CHECKING:
    from aiohttp import web

MOST_BYTES = 10 * 1024 * 1024
"""The longest body that is read; a longer one is answered 413."""

MOST_DELAY_SECONDS = 3600
"""The longest wait before an answer."""

_SHOWN_LINES = 60
_SHOWN_CHARACTERS = 12_000
_CREDENTIALS = re.compile(r"(?i)auth|cookie|token|secret|key|password|signature")
_RESULTS = ("ok", "warning", "deny", "modify")

RESET, DIM, BOLD, RED, GREEN, YELLOW, CYAN = (
    "\x1b[0m",
    "\x1b[2m",
    "\x1b[1m",
    "\x1b[31m",
    "\x1b[32m",
    "\x1b[33m",
    "\x1b[36m",
)


@dataclass(frozen=True, slots=True)
class Listening:
    """What the receiver does.

    Attributes:
        host: Address to listen on.
        port: Port, 0 = any free one.
        answer: `ok`, `warning`, `deny` or `modify`.
        message: The answer's message.
        content: The answer's `modified_content`, with `modify`.
        status: The answer's HTTP status.
        delay_seconds: How long to wait before the answer.
        rules: What judges each body; a find goes before `delivery.reply`.
        action: What to do about a find.
        save: Folder that each request is saved in as a fixture; None = nowhere.
        secrets: Verify signatures with these.
        colour: The output is a terminal.
    """

    host: str = "127.0.0.1"
    port: int = 0
    answer: str = "ok"
    message: str = ""
    content: str | None = None
    status: int = 200
    delay_seconds: float = 0.0
    rules: tuple[Rule, ...] = ()
    action: Action = Action.WARN
    save: Path | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    colour: bool = False

    def __post_init__(self) -> None:
        if self.answer not in _RESULTS:
            raise InvalidError(f"{self.answer!r} is no result", where="--answer", hint=f"give {', '.join(_RESULTS)}")
        if self.answer == "modify" and self.content is None:
            raise InvalidError("modify needs the new content", where="--answer", hint="give it with --content")
        if not 200 <= self.status <= 599:
            raise InvalidError(f"{self.status} is no final status", where="--status", hint="give 200 to 599")
        if not 0 <= self.delay_seconds <= MOST_DELAY_SECONDS:  # not a number is neither
            raise InvalidError(
                f"{self.delay_seconds} is no time to wait", where="--delay", hint=f"give 0 to {MOST_DELAY_SECONDS}"
            )


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    body: Any


async def listen(
    listening: Listening, write: Callable[[str], None], clock: Clock, ready: Callable[[str], None] | None = None
) -> None:
    """Receive requests until cancelled.

    Args:
        listening: What to do.
        write: Prints one block of lines.
        clock: Dates the requests.
        ready: Receives the address once requests can arrive.

    Raises:
        InvalidError: The address or port cannot be used, or the folder cannot be written to.
    """
    from aiohttp import web

    receiver = _Receiver(listening, write, clock)
    app = web.Application(client_max_size=MOST_BYTES)
    app.router.add_route("*", "/{path:.*}", receiver.receive)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        if listening.save is not None:
            _make(listening.save)
        try:
            await web.TCPSite(runner, listening.host, listening.port).start()
        except (OSError, UnicodeError) as error:
            raise _listen_error(listening, error) from error
        host, port = runner.addresses[0][:2]
        if ready is not None:
            ready(f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/")
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidError(
            f"the folder cannot be made: {error.strerror}", where=str(directory), hint="give another with --save"
        ) from error


def _listen_error(listening: Listening, error: OSError | UnicodeError) -> InvalidError:
    """Return why the receiver cannot listen at an address; the library's own sentence repeats the address."""
    hints = {
        errno.EADDRINUSE: "it is in use: give another --port, or 0 for any free one",
        errno.EACCES: "it is not ours to take: give one above 1023 with --port",
        errno.EADDRNOTAVAIL: "this machine has no such address: give one of its own with --host",
    }
    number = error.errno if isinstance(error, OSError) else None
    if number is None and "could not bind on any address" in str(error):  # asyncio from Python 3.13 on
        number = errno.EADDRNOTAVAIL
    hint = hints.get(number or 0, "give an address such as 127.0.0.1 with --host")
    return InvalidError("cannot listen", where=f"{listening.host}:{listening.port}", hint=hint)


class _Receiver:
    def __init__(self, listening: Listening, write: Callable[[str], None], clock: Clock) -> None:
        self._listening = listening
        self._write = write
        self._clock = clock
        self._count = 0

    async def receive(self, request: web.Request) -> web.Response:
        from aiohttp import web

        began = self._clock.monotonic()
        self._count += 1
        number = self._count
        try:
            data = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self._write(f"{self._head(number, request, '')}\n  the body is longer than {MOST_BYTES} bytes: 413\n")
            raise
        body = _parsed(data)
        answer = self._answer(body)
        if self._listening.delay_seconds:
            await asyncio.sleep(self._listening.delay_seconds)
        milliseconds = (self._clock.monotonic() - began) * 1000
        self._write(self._shown(number, request, data, body, answer, milliseconds))
        if self._listening.save is not None:
            self._save(number, request, data, body, answer)
        if answer.body is None:
            return web.Response(status=answer.status, text=answer.text or None)
        return web.json_response(answer.body, status=answer.status)

    def _answer(self, body: Any) -> _Answer:
        listening = self._listening
        chat = _chat_service(body)
        if chat is not None and listening.answer == "ok" and listening.status == 200:
            return chat
        if isinstance(body, Mapping) and listening.rules:
            ruling = judge(_unwrapped(body), listening.rules, listening.action)
            if ruling.message:
                return _Answer(listening.status, "", ruling.answer())
        made: dict[str, Any] = {"result": listening.answer}
        if listening.message:
            made["message"] = listening.message
        if listening.answer == "modify":
            made["modified_content"] = listening.content
        return _Answer(listening.status, "", made)

    def _shown(
        self, number: int, request: web.Request, data: bytes, body: Any, answer: _Answer, milliseconds: float
    ) -> str:
        lines = [self._head(number, request, _gist(body))]
        lines += [f"  {self._paint(DIM, name + ':')} {value}" for name, value in _headers(request).items()]
        if self._listening.secrets:
            fault = signing.verify(self._listening.secrets, request.headers, data, self._clock.now())
            verdict = "signature valid" if fault is None else f"signature not valid: {visible(fault)}"
            lines.append(f"  {self._paint(GREEN if fault is None else RED, verdict)}")
        lines += [f"  {line}" for line in _pretty(data, body).split("\n")]
        said = json.dumps(answer.body, ensure_ascii=False) if answer.body is not None else answer.text
        colour = {"deny": RED, "modify": YELLOW, "warning": YELLOW}.get(
            answer.body.get("result", "") if isinstance(answer.body, dict) else "", GREEN
        )
        if answer.status >= 400:
            colour = RED
        lines.append(
            self._paint(colour, f"  → {answer.status} {visible(said)}")
            + f" {self._paint(DIM, f'{milliseconds:.1f} ms')}"
        )
        return "\n".join(lines) + "\n"

    def _head(self, number: int, request: web.Request, gist: str) -> str:
        time = iso(self._clock.now())[11:23]
        place = cut(one_line(request.path_qs), 200)
        return (
            f"{self._paint(DIM, f'#{number} {time}')} {self._paint(BOLD, request.method)} {place}"
            f"{'  ' + self._paint(CYAN, gist) if gist else ''}"
        )

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{RESET}" if self._listening.colour else text

    def _save(self, number: int, request: web.Request, data: bytes, body: Any, answer: _Answer) -> None:
        """Save a fixture: the request as received, without credentials in headers, and the response."""
        assert self._listening.save is not None
        event = body.get("event") if isinstance(body, Mapping) else None
        name = re.sub(r"[^a-z0-9_]+", "-", str(event or _gist(body) or "request").lower()).strip("-")[:60]
        fixture = {
            "received": iso(self._clock.now()),
            "method": request.method,
            "path": request.path_qs,
            "headers": {k: "***" if _CREDENTIALS.search(k) else v for k, v in request.headers.items()},
            "body": body if body is not None else data.decode("utf-8", "replace"),
            "answer": {"status": answer.status, "body": answer.body if answer.body is not None else answer.text},
        }
        path = self._listening.save / f"{number:04}-{name or 'request'}.json"
        try:
            path.write_text(json.dumps(fixture, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        except (OSError, ValueError) as error:
            self._write(f"  not saved: {error}\n")


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _unwrapped(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return hookyard's body, also out of a CloudEvent."""
    data = body.get("data")
    return data if "specversion" in body and isinstance(data, Mapping) else body


def _gist(body: Any) -> str:
    """Return one line about the request: the event and the tool, or the service whose message it is."""
    if not isinstance(body, Mapping):
        return ""
    service = _service(body)
    if service:
        return f"{service} message"
    if isinstance(body.get("events"), list):
        names = [str(event.get("event")) for event in body["events"] if isinstance(event, Mapping)]
        return cut(one_line(f"batch of {len(body['events'])}: {', '.join(names[:10])}"), 120)
    inner = _unwrapped(body)
    context = inner.get("hook_context")
    tool = context.get("tool_name") if isinstance(context, Mapping) else None
    parts = [inner.get("event"), tool, inner.get("agent") and f"from {inner['agent']}"]
    return cut(one_line(" ".join(str(part) for part in parts if part)), 120)


def _service(body: Mapping[str, Any]) -> str | None:
    """Return the chat service whose native message a body is."""
    if "msgtype" in body:
        return (
            "WeCom"
            if "at" not in body and isinstance(body.get("markdown"), Mapping) and "content" in body["markdown"]
            else "DingTalk"
        )
    if "msg_type" in body:
        return "Feishu"
    if "embeds" in body:
        return "Discord"
    if body.get("type") == "message" and "attachments" in body:
        return "Teams"
    return "Slack" if "text" in body and "event" not in body else None


def _chat_service(body: Any) -> _Answer | None:
    """Return a chat service's reply to its own message."""
    service = _service(body) if isinstance(body, Mapping) else None
    answers = {
        "Slack": _Answer(200, "ok", None),
        "DingTalk": _Answer(200, "", {"errcode": 0, "errmsg": "ok"}),
        "WeCom": _Answer(200, "", {"errcode": 0, "errmsg": "ok"}),
        "Feishu": _Answer(200, "", {"code": 0, "msg": "success", "data": {}}),
        "Discord": _Answer(204, "", None),
        "Teams": _Answer(202, "", None),
    }
    return answers.get(service or "")


def _headers(request: web.Request) -> dict[str, str]:
    """Return the headers that matter to a reader; credentials become stars."""
    dull = {"host", "accept", "accept-encoding", "content-length", "connection", "user-agent", "content-type"}
    shown = {}
    for name, value in request.headers.items():
        if name.lower() not in dull or (name.lower() == "content-type" and "json" not in value):
            shown[one_line(name)] = "***" if _CREDENTIALS.search(name) else cut(one_line(value), 200)
    return shown


def _pretty(data: bytes, body: Any) -> str:
    """Return the body as indented JSON, or as text; bounded."""
    if not data:
        return "(no body)"
    if body is None:
        text = data[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")
    else:
        text = json.dumps(body, ensure_ascii=False, indent=2)
    return clip_lines(cut(visible(text), _SHOWN_CHARACTERS), _SHOWN_LINES)
