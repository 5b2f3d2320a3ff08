"""The outbox's tables, and how a delivery becomes a row and a row a delivery. Used by the modules that work on them.

Rows hold bodies after redaction, never a header, a secret or an address with its key: the sender looks those up when it
sends. Times named `…_mono` are of the machine's monotonic clock, which all processes share and which does not jump with
the wall clock; after a restart of the machine they are out of range and count as over.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from hookyard.hooks.delivery.delivery_log import Attempt, Delivery, DeliveryState

SCHEMA = """
CREATE TABLE IF NOT EXISTS lane (            -- one webhook: what goes out in order
  id INTEGER PRIMARY KEY,
  origin TEXT NOT NULL,
  webhook TEXT NOT NULL,
  endpoint TEXT NOT NULL DEFAULT '',         -- what its rate limits are counted by
  rates TEXT NOT NULL DEFAULT '[]',
  batch_size INTEGER NOT NULL DEFAULT 0,
  flush_seconds REAL NOT NULL DEFAULT 0,
  owner TEXT NOT NULL DEFAULT '',            -- the process that sends, until its lease ends
  leased_until_mono REAL NOT NULL DEFAULT 0,
  due_mono REAL NOT NULL DEFAULT 0,          -- nothing is sent before
  UNIQUE (origin, webhook)
);
CREATE TABLE IF NOT EXISTS delivery (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,     -- the order in which it was accepted
  id TEXT NOT NULL UNIQUE,
  lane INTEGER REFERENCES lane,              -- NULL: recorded only, an agent waited for it
  fingerprint TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL,
  webhook TEXT NOT NULL,
  event TEXT NOT NULL,
  format TEXT NOT NULL,
  url TEXT NOT NULL,
  request TEXT NOT NULL,
  created_at REAL NOT NULL,
  attempts TEXT NOT NULL DEFAULT '[]',
  result TEXT,
  message TEXT NOT NULL DEFAULT '',
  session_id TEXT NOT NULL DEFAULT '',
  run_id TEXT NOT NULL DEFAULT '',
  workspace_id TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS delivery_owed ON delivery (lane, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_state ON delivery (state, seq);
CREATE TABLE IF NOT EXISTS entry (           -- events that wait for their batch
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  lane INTEGER NOT NULL REFERENCES lane,
  fingerprint TEXT NOT NULL,
  format TEXT NOT NULL,
  url TEXT NOT NULL,
  body TEXT NOT NULL,
  created_at REAL NOT NULL,
  session_id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  workspace_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entry_lane ON entry (lane, seq);
CREATE TABLE IF NOT EXISTS pace (endpoint TEXT NOT NULL, at_mono REAL NOT NULL);
CREATE INDEX IF NOT EXISTS pace_endpoint ON pace (endpoint, at_mono);
"""

COLUMNS = (
    "id, webhook, event, format, url, request, created_at, state, attempts, result, message,"
    " session_id, run_id, workspace_id"
)


_ATTEMPT = tuple(part.name for part in fields(Attempt))


def insert(
    connection: sqlite3.Connection, d: Delivery, lane: int | None, fingerprint: str, conflict: str = "DO NOTHING"
) -> None:
    """Store a delivery; what happens when its id is stored already is in SQL's words."""
    values = (d.id, d.webhook, d.event, d.format, d.url, d.request, d.created_at, d.state.value, attempts_text(d))
    connection.execute(
        f"INSERT INTO delivery (lane, fingerprint, {COLUMNS})"  # noqa: S608 - constants
        f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) {conflict}",
        (lane, fingerprint, *values, d.result, d.message, d.session_id, d.run_id, d.workspace_id),
    )


def attempts_text(delivery: Delivery) -> str:
    """Return the attempts of a delivery as they are stored."""
    if not delivery.attempts:
        return "[]"
    rows = [{name: getattr(attempt, name) for name in _ATTEMPT} for attempt in delivery.attempts]
    return json.dumps(rows, separators=(",", ":"))


def delivery_of(row: Sequence[Any]) -> Delivery:
    """Return the delivery of a row with `COLUMNS`."""
    attempts = tuple(Attempt(**attempt) for attempt in json.loads(row[8])) if row[8] != "[]" else ()
    return Delivery(*(*row[:7], DeliveryState(row[7]), attempts, *row[9:]))
