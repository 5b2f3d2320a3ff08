"""The timeline of a run: what its agent said and did, kept as it happens.

`Timeline` is the `Recorder` that `executor` hands to an agent. Its calls only append to memory; a task writes what has
gathered, at most every `FLUSH_SECONDS`, and signals `run:ID`. Entries are appended only, numbered over all attempts,
and fenced by the attempt: when the run has been started again elsewhere, or has ended, the write finds no row and the
timeline falls silent. Everything is bounded: the length of a text, the number of entries, the bytes of a run.

Kinds and their data (JSON):
- `message`: role, text
- `tool_call`: callId, name, args (a JSON text)
- `tool_result`: callId, result, success, durationMs, ran
- `decision`: point, event, result, message, content, callId, verdicts [{webhook, result, message, deliveryId, attempts,
  durationMs, failed, before, after}]
- `note`: text
- `usage`: turn, inputTokens, outputTokens: the attempt's totals with that answer of the model, counted from 1
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, update

from hookyard.agents.base import Usage
from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError
from hookyard.core.run_status import RunStatus
from hookyard.hooks.decision import Decision, Result
from hookyard.hooks.points import POINTS, Point
from hookyard.runs.claim import AdmittedRun
from hookyard.store.database import Database, announce
from hookyard.store.fast_sql import insert_or_update
from hookyard.store.schema import attempts, run_entries, runs

FLUSH_SECONDS = 0.2
"""How old an entry may be before others see it."""

TEXT_CHARS = 128 * 1024
"""Longest text of an entry; the middle of a longer one is left out."""

MAX_ENTRIES = 20_000
MAX_CHARS = 32 * 1024 * 1024
"""Entries and characters of one attempt; what comes after is counted, not kept."""

SNIPPET_CHARS = 160

ABOUT = ("agent_kind", "agent_version", "model", "folder")
"""Columns of `attempts` that say what the agent is."""

ABOUT_CHARS = 1000
"""Longest text of what is known of an agent, such as the path of its folder."""


class EntryKind(StrEnum):
    """What an entry is."""

    MESSAGE = "message"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    DECISION = "decision"
    NOTE = "note"
    USAGE = "usage"


@dataclass(slots=True)
class Progress:
    """What has gathered since the last write: entries, and what a run's row shows of them.

    Attributes:
        rows: Rows for `run_entries`, in order.
        tool_calls: Tool calls among them.
        denied: Decisions among them that denied.
        modified: Decisions among them that modified.
        snippet: The agent's newest words, None when it said nothing new.
        used: The usage has changed.
        about: What has become known of the agent: columns of its row in `attempts`.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: int = 0
    denied: int = 0
    modified: int = 0
    snippet: str | None = None
    used: bool = False
    about: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows or self.about) or self.used

    def then(self, later: Progress) -> Progress:
        """Return both changes combined."""
        return Progress(
            rows=[*self.rows, *later.rows],
            tool_calls=self.tool_calls + later.tool_calls,
            denied=self.denied + later.denied,
            modified=self.modified + later.modified,
            snippet=self.snippet if later.snippet is None else later.snippet,
            used=self.used or later.used,
            about={**self.about, **later.about},
        )


def shorten(text: str, limit: int = TEXT_CHARS) -> str:
    """Return the text with its middle left out when it exceeds the limit, and with what cannot be stored replaced."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"
    # PostgreSQL refuses NUL, and no UTF-8 has a lone surrogate.
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def snippet_of(text: str) -> str:
    """Return the last words of a text, on one line."""
    words = " ".join(text[-4 * SNIPPET_CHARS :].split())
    return words if len(words) <= SNIPPET_CHARS else "…" + words[-SNIPPET_CHARS + 1 :]


class Timeline:
    """Records one attempt of one run.

    Args:
        claim: The attempt.
        database: Where it is kept.
        clock: Dates the entries.
    """

    def __init__(self, claim: AdmittedRun, database: Database, clock: Clock) -> None:
        self._claim = claim
        self._database = database
        self._clock = clock
        self._seq = claim.first_entry
        self._chars = 0
        self._left_out = 0
        self._over = False
        self._gathered = Progress()
        self._total = claim.spent
        self._told = Usage()
        self._introduced: set[str] = set()
        self._writing: asyncio.Task[None] | None = None
        self.last_message = ""

    # -- what an agent tells -----------------------------------------------------------------------------------------

    def message(self, role: str, text: str) -> None:
        """Record a message; see `agents.base.Recorder`."""
        if role == "assistant" and text.strip():
            self.last_message = text[-TEXT_CHARS:]
            self._gathered.snippet = shorten(snippet_of(text))
        self._add(EntryKind.MESSAGE, {"role": role, "text": shorten(text)})

    def tool_call(self, call_id: str, name: str, args: str) -> None:
        """Record a tool call; see `agents.base.Recorder`."""
        self._gathered.tool_calls += 1
        self._add(EntryKind.TOOL_CALL, {"callId": call_id, "name": shorten(name, 500), "args": shorten(args)})

    def tool_result(self, call_id: str, result: str, *, success: bool, duration_ms: float, ran: bool = True) -> None:
        """Record a tool's result; see `agents.base.Recorder`."""
        data = {"callId": call_id, "result": shorten(result), "success": success, "ran": ran}
        self._add(EntryKind.TOOL_RESULT, {**data, "durationMs": round(duration_ms, 3)})

    def decision(self, point: Point, decision: Decision, call_id: str = "") -> None:
        """Record a decision; see `agents.base.Recorder`."""
        self._gathered.denied += decision.result is Result.DENY
        self._gathered.modified += decision.result is Result.MODIFY
        self._add(EntryKind.DECISION, decision_data(point, decision, call_id))

    def usage(self, usage: Usage) -> None:
        """Record the usage; see `agents.base.Recorder`."""
        self._total = add_usage(self._claim.spent, usage)
        self._gathered.used = True
        if usage.requests and _tokens(usage) != _tokens(self._told):
            self._told = usage
            data = {"turn": usage.requests, "inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens}
            self._add(EntryKind.USAGE, data)
        self._write_soon()

    def agent_info(self, *, version: str = "", model: str = "") -> None:
        """Record the agent's version and model; see `agents.base.Recorder`."""
        said = {"agent_version": version, "model": model}
        self._know({column: word for column, word in said.items() if word and column not in self._introduced})
        self._introduced.update(column for column, word in said.items() if word)

    def note(self, text: str) -> None:
        """Record a note; see `agents.base.Recorder`."""
        self._add(EntryKind.NOTE, {"text": shorten(text)})

    def begin(self, kind: str, model: str | None, directory: Path) -> None:
        """Note with what the attempt begins.

        Args:
            kind: The kind of agent.
            model: The model that it is to use, None for its own choice; what the agent says itself counts for more.
            directory: Where it works.
        """
        self._know({"agent_kind": kind, "folder": str(directory)} | ({"model": model} if model else {}))

    @property
    def total(self) -> Usage:
        """What the run has used up so far, earlier attempts included."""
        return self._total

    # -- keeping it --------------------------------------------------------------------------------------------------

    def take(self) -> Progress:
        """Return the entries that are not being written yet; the caller stores them."""
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            self._append(EntryKind.NOTE, {"text": f"{left_out} further entries were left out: the run is too long"})
        gathered, self._gathered = self._gathered, Progress()
        return gathered

    async def close(self) -> Progress:
        """Take nothing more, wait for the write under way, and give back what is left to be stored with the result."""
        self._over = True
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        return self.take()

    def _know(self, columns: Mapping[str, str]) -> None:
        if columns and not self._over:
            self._gathered.about.update({name: shorten(word, ABOUT_CHARS) for name, word in columns.items()})
            self._write_soon()

    def _add(self, kind: EntryKind, data: Mapping[str, Any]) -> None:
        if self._over:
            return
        if self._seq - self._claim.first_entry >= MAX_ENTRIES or self._chars >= MAX_CHARS:
            self._left_out += 1
            return
        self._append(kind, data)
        self._write_soon()

    def _append(self, kind: EntryKind, data: Mapping[str, Any]) -> None:
        encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        self._chars += len(encoded)
        row = {"run_id": self._claim.run_id, "seq": self._seq, "attempt": self._claim.attempt}
        self._gathered.rows.append({**row, "at": self._clock.now(), "kind": kind.value, "data": encoded})
        self._seq += 1

    def _write_soon(self) -> None:
        if self._writing is None and not self._over:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write until nothing has gathered. Shielded where it waits for the database, so that nothing is written
        twice or lost when the run ends meanwhile."""
        try:
            while not self._over:
                await asyncio.sleep(FLUSH_SECONDS)
                progress = self.take()
                if not progress:
                    return
                await finished(asyncio.ensure_future(self._store(progress)))
        finally:
            self._writing = None

    async def _store(self, progress: Progress) -> None:
        try:
            current = await self._database.write(lambda conn: store_progress(conn, self._claim, progress, self._total))
        except HookyardError:
            # The database is away for longer than the writer's patience.
            self._gathered = progress.then(self._gathered)
            return
        if not current:
            self._over = True


async def finished(task: asyncio.Future[Any]) -> None:
    """Wait for a task even when cancelled meanwhile; the cancellation is raised after it."""
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _tokens(usage: Usage) -> tuple[int, int]:
    return usage.input_tokens, usage.output_tokens


def add_usage(before: Usage, now: Usage) -> Usage:
    """Return the usage of two attempts together; the cost is unknown when either is."""
    unused = before.input_tokens + before.output_tokens == 0
    if now.cost_usd is None or (before.cost_usd is None and not unused):
        cost = None
    else:
        cost = now.cost_usd + (before.cost_usd or 0.0)
    return Usage(
        input_tokens=before.input_tokens + now.input_tokens,
        output_tokens=before.output_tokens + now.output_tokens,
        requests=before.requests + now.requests,
        cost_usd=cost,
    )


def decision_data(point: Point, decision: Decision, call_id: str) -> dict[str, Any]:
    """Return what is stored of a decision."""
    return {
        "point": point.value,
        "event": POINTS[point].event,
        "result": decision.result.value,
        "message": shorten(decision.message),
        "content": None if decision.content is None else shorten(decision.content),
        "callId": call_id,
        "verdicts": [
            {
                "webhook": verdict.webhook,
                "result": verdict.result.value,
                "message": shorten(verdict.message),
                "deliveryId": verdict.delivery_id,
                "attempts": verdict.attempts,
                "durationMs": round(verdict.duration_ms, 3),
                "failed": verdict.failed,
                "before": None if verdict.before is None else shorten(verdict.before),
                "after": None if verdict.after is None else shorten(verdict.after),
            }
            for verdict in decision.verdicts
        ],
    }


PROGRESS: Mapping[str, ColumnElement[Any]] = {
    "snippet": func.coalesce(bindparam("words"), runs.c.snippet),
    "tool_calls": runs.c.tool_calls + bindparam("calls"),
    "denied": runs.c.denied + bindparam("denials"),
    "modified": runs.c.modified + bindparam("changes"),
    "input_tokens": bindparam("tokens_in"),
    "output_tokens": bindparam("tokens_out"),
    "cost_usd": bindparam("cost"),
}
"""Values of a run's row that show its progress; their parameters come from `progress_parameters`."""

_PROGRESS = (
    update(runs)
    .where(
        runs.c.id == bindparam("run"), runs.c.attempt == bindparam("number"), runs.c.status == RunStatus.RUNNING.value
    )
    .values(PROGRESS)
)


def progress_parameters(progress: Progress, total: Usage) -> dict[str, Any]:
    """Return the parameters of `PROGRESS`."""
    return {
        "words": progress.snippet,
        "calls": progress.tool_calls,
        "denials": progress.denied,
        "changes": progress.modified,
        "tokens_in": total.input_tokens,
        "tokens_out": total.output_tokens,
        "cost": total.cost_usd,
    }


def store_progress(conn: Connection, claim: AdmittedRun, progress: Progress, total: Usage) -> bool:
    """Store what has gathered; False, and nothing stored, when the attempt is not the current one any more."""
    values = {"run": claim.run_id, "number": claim.attempt, **progress_parameters(progress, total)}
    # On PostgreSQL the update also holds off other workers that would start the run again until this transaction is
    # over.
    if not conn.execute(_PROGRESS, values).rowcount:
        return False
    store_rows(conn, progress.rows)
    if progress.about:
        attempt = (attempts.c.run_id == claim.run_id, attempts.c.number == claim.attempt)
        conn.execute(update(attempts).where(*attempt).values(progress.about))
    announce(conn, f"run:{claim.run_id}")
    return True


def store_rows(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append entries; the caller has made sure that their attempts are the current ones."""
    if rows:
        # A write whose answer was lost is repeated: what it had stored after all is there once.
        conn.execute(insert_or_update(conn, run_entries).on_conflict_do_nothing(), rows)
