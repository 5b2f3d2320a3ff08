"""Every table, for SQLite and PostgreSQL alike. SQLAlchemy Core; the migrations must agree with
it.

Conventions: times are seconds since the epoch (double), JSON is text that was made by `json.dumps`, ids are the
prefixed texts of `hookyard.core.ids`, and every row of a workspace carries `workspace_id`, first in its indexes, so
that no query can forget it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _only(condition: str) -> dict[str, Any]:
    """Return options for an index of the rows for which the condition holds, in both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# -- the installation ------------------------------------------------------------------------------------------------

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    Column("updated_at", Double, nullable=False),
    Column("updated_by", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("login", Text, nullable=True, unique=True),  # None: known to a workspace, but cannot sign in
    Column("name", Text, nullable=False),
    Column("password_hash", Text),
    Column("is_admin", Boolean, nullable=False, default=False),
    Column("language", Text),  # en, zh-CN; None = the browser's
    Column("theme", Text),  # light, dark; None = the system's
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
)

# Page sessions. Only the hash of the cookie is kept.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)

# One-time login links. Only the hash is kept.
login_links = Table(
    "login_links",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),  # admin, member, ingest, run
    Column("workspace_id", Text, index=True),  # None for admin
    Column("user_id", Text),  # acts as this user
    Column("run_id", Text, index=True),  # of scope run
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

agent_profiles = Table(
    "agent_profiles",
    metadata,
    Column("name", Text, primary_key=True),
    Column("config", Text, nullable=False),  # JSON, validated by agents.profiles
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

model_keys = Table(
    "model_keys",
    metadata,
    Column("variable", Text, primary_key=True),  # the provider's own name, such as ANTHROPIC_API_KEY
    Column("value", LargeBinary, nullable=False),  # encrypted
    Column("updated_at", Double, nullable=False),
)

event_types = Table(
    "event_types",
    metadata,
    Column("name", Text, primary_key=True),
    Column("definition", Text, nullable=False),  # JSON: variables with name, type, example
    Column("created_at", Double, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False, index=True),
    Column("details", Text, nullable=False, default="{}"),  # JSON: version, capacity, which agents are installed
)

# -- the workspace ---------------------------------------------------------------------------------------------------

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("next_task", Integer, nullable=False, default=1),
    # Counts every change that can alter a match (callbacks, profiles, declared types): judged again when it moved.
    Column("revision", Integer, nullable=False, default=0),
)

members = Table(
    "members",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("joined_at", Double, nullable=False),
    PrimaryKeyConstraint("workspace_id", "user_id"),
    Index("ix_members_user_id", "user_id"),
)

tasks = Table(
    "tasks",
    metadata,
    # taskDBId, a UUID; two workspaces that mirror the same issue have the same one.
    Column("id", Text, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("task_id", Text, nullable=False),  # task-1, or owner/repo#12
    Column("type", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("status", Text, nullable=False),
    Column("assignee_id", Text),
    Column("assignee_name", Text),
    Column("labels", Text, nullable=False, default="[]"),  # JSON array of texts
    Column("created_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("deleted_at", Double),
    Column("source", Text),  # github, gitlab, jira for a mirrored task
    Column("url", Text),  # where the original is
    PrimaryKeyConstraint("workspace_id", "id"),
    UniqueConstraint("workspace_id", "task_id"),
    # Without the deleted ones, so that the columns of the board are counted in the index alone.
    Index("ix_tasks_open_updated_at", "workspace_id", "updated_at", **_only("deleted_at IS NULL")),
    Index("ix_tasks_open_status", "workspace_id", "status", "updated_at", **_only("deleted_at IS NULL")),
)

comments = Table(
    "comments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("task_db_id", Text, nullable=False),
    Column("author_id", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("author_trust", Text, nullable=False),  # member, outsider, unknown
    Column("content", Text, nullable=False),
    Column("run_id", Text),  # written by this run
    Column("source_id", Text),  # of a mirrored comment
    Column("created_at", Double, nullable=False),
    Index("ix_comments_workspace_id_task_db_id", "workspace_id", "task_db_id", "created_at"),
)

sources = Table(
    "sources",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # github, gitlab, jira
    Column("secret", LargeBinary, nullable=False),  # encrypted
    Column("credential", LargeBinary),  # encrypted; with it comments are posted back
    Column("options", Text, nullable=False, default="{}"),  # JSON: own identity, API base URL
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("workspace_id", "kind"),
)

# Comments to be posted to the service that a mirrored task comes from.
outgoing_comments = Table(
    "outgoing_comments",
    metadata,
    Column("comment_id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),  # pending, posted, dead
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Double, nullable=False),
    Column("error", Text),
    Index("ix_outgoing_comments_state", "state", "next_at"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("config", LargeBinary, nullable=False),  # encrypted JSON: the keys of one hooks.toml entry
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("workspace_id", "name"),
)

# -- events in -------------------------------------------------------------------------------------------------------

callbacks = Table(
    "callbacks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("spec", Text, nullable=False),  # JSON of the current version
    Column("created_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("deleted_at", Double),
    Column("condition_error", Text),  # the last one, JSON: at, event, message
    Index("ix_callbacks_workspace_id", "workspace_id", "deleted_at"),
)

callback_versions = Table(
    "callback_versions",
    metadata,
    Column("callback_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("workspace_id", Text, nullable=False),
    Column("spec", Text, nullable=False),  # JSON, name and enabled included
    Column("author", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("callback_id", "version"),
)

# Which callbacks (id and version, in order) listened to an event type at one revision of a workspace. Kept once, so
# that an event's verdicts can be one letter for each of them.
listener_sets = Table(
    "listener_sets",
    metadata,
    Column("id", Text, primary_key=True),  # a hash of what follows
    Column("workspace_id", Text, nullable=False),
    Column("listeners", Text, nullable=False),  # JSON array of [callbackId, version]
    Column("created_at", Double, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),  # workspace, api, github, a CloudEvents source, …
    Column("source_id", Text),
    Column("operation_id", Text),
    Column("occurred_at", Double, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("variables", Text, nullable=False),  # JSON object
    Column("subject", Text),  # taskDBId or conversationId
    Column("author_trust", Text, nullable=False),  # member, outsider, unknown
    Column("cause", Text),  # JSON: the chain of links that led here; None = a first event
    Column("replay_of", Text),
    Column("traceparent", Text),  # the sender's place in its trace, see web.traces
    Column("listener_set", Text),  # None: no callback listened
    Column("verdicts", Text),  # one letter a listener, see callbacks.trace
    Column("details", Text),  # JSON by callback id: reasons, errors, runs, batches
    Column("duplicates", Integer, nullable=False, default=0),
    Column("last_duplicate_at", Double),
    Index("ix_events_workspace_id_id", "workspace_id", "id"),
    Index("ix_events_workspace_id_name_id", "workspace_id", "name", "id"),
    Index("ix_events_workspace_id_subject_id", "workspace_id", "subject", "id"),
    Index("ix_events_replay_of", "replay_of", "workspace_id", "id", **_only("replay_of IS NOT NULL")),
)

# What can be taken once for a while: an event's source id (7 days) or its content (the dedupe window), an operation by
# a callback (7 days). The unique key decides between servers, see callbacks.claims.
claims = Table(
    "claims",
    metadata,
    Column("key", LargeBinary, primary_key=True),  # a hash
    Column("event_id", Text, nullable=False),  # who has taken it
    Column("at", Double, nullable=False),
    # Without an index, which every event would pay for: store.retention goes through the keys in their order.
    Column("expires_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("callback_id", Text, nullable=False),
    Column("callback_version", Integer, nullable=False),
    Column("event_name", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("closes_at", Double, nullable=False),
    Column("closed_at", Double),  # no event can join any more
    Column("close_reason", Text),  # window, size, bytes, edited
    Column("settled_at", Double),  # its run has been queued, or it was decided that there is none
    Column("outcome", Text),  # the gate's letter of callbacks.trace
    Column("reason", Text),
    Column("size", Integer, nullable=False, default=0),
    Column("bytes", Integer, nullable=False, default=0),
    Column("run_id", Text),
    # One open batch of a callback and event type, however many servers there are.
    Index(
        "uq_batches_open",
        "callback_id",
        "event_name",
        unique=True,
        **_only("closed_at IS NULL"),
    ),
    Index("ix_batches_unsettled", "closes_at", **_only("settled_at IS NULL")),
    Index("ix_batches_workspace_id_id", "workspace_id", "id"),
)

batch_events = Table(
    "batch_events",
    metadata,
    Column("batch_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    PrimaryKeyConstraint("batch_id", "event_id"),
    Index("ix_batch_events_event_id", "event_id"),
    sqlite_with_rowid=False,
)

# -- runs ------------------------------------------------------------------------------------------------------------

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("callback_id", Text, nullable=False),
    Column("callback_version", Integer, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("batch_id", Text),
    Column("conversation_id", Text, nullable=False),
    Column("status", Text, nullable=False),  # queued, running, succeeded, failed, timed_out, cancelled, skipped
    Column("reason", Text),  # why skipped, cancelled, failed
    Column("prompt", Text, nullable=False),
    Column("context", Text, nullable=False),  # JSON: the variables that the prompt was made from, a batch's included
    Column("agent", Text, nullable=False),  # a profile's name, or JSON of an inline agent
    Column("timeout_seconds", Double),
    Column("concurrency_key", Text),  # one at a time per key
    Column("subject", Text),
    Column("cause", Text),  # JSON: the chain up to and with the starting event
    Column("retry_of", Text),
    Column("queued_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("attempt", Integer, nullable=False, default=0),  # the current one; a write of an earlier one is refused
    Column("worker_id", Text),
    Column("cancel_requested_at", Double),
    Column("cancel_requested_by", Text),
    Column("answer", Text),
    Column("error", Text),
    Column("input_tokens", BigInteger, nullable=False, default=0),
    Column("output_tokens", BigInteger, nullable=False, default=0),
    Column("tool_calls", Integer, nullable=False, default=0),
    Column("denied", Integer, nullable=False, default=0),
    Column("modified", Integer, nullable=False, default=0),
    Column("cost_usd", Double),
    Column("reserved_tokens", BigInteger, nullable=False, default=0),
    Column("snippet", Text),  # newest words of the agent, for lists
    Index("ix_runs_workspace_id_id", "workspace_id", "id"),
    # A list by status, and for admission every workspace with a waiting run, in one step each.
    Index("ix_runs_status_workspace_id_id", "status", "workspace_id", "id"),
    Index("ix_runs_workspace_id_started_at", "workspace_id", "started_at"),
    Index("ix_runs_callback_id_id", "callback_id", "id"),
    Index("ix_runs_workspace_id_queued_at", "workspace_id", "queued_at"),
    # With all three SQLite prefers it to the first for the runs of an event.
    Index("ix_runs_event_id", "event_id", "workspace_id", "id"),
    Index("ix_runs_callback_id_subject", "callback_id", "subject", "queued_at"),
    # The runs of a task, in the order of their lists: SQLite prefers two columns and the order to the first index.
    Index("ix_runs_workspace_id_subject_id", "workspace_id", "subject", "id", **_only("subject IS NOT NULL")),
    Index("ix_runs_status_worker_id", "status", "worker_id"),
    Index("ix_runs_conversation_id", "conversation_id"),
    # The lists of runs in which a webhook did more than let pass. With the count in it SQLite prefers it to the first.
    Index("ix_runs_denied", "workspace_id", "denied", "id", **_only("denied > 0")),
    Index("ix_runs_modified", "workspace_id", "modified", "id", **_only("modified > 0")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("outcome", Text),  # a final status, or lost
    Column("error", Text),
    # Of the agent that worked, as far as it is known.
    Column("agent_kind", Text),
    Column("agent_version", Text),
    Column("model", Text),
    Column("folder", Text),
    PrimaryKeyConstraint("run_id", "number"),
)

# The timeline of a run: messages, tool calls and their results, decisions, notes; append only.
run_entries = Table(
    "run_entries",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),  # over all attempts
    Column("attempt", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),  # see runs.timeline
    Column("data", Text, nullable=False),  # JSON
    PrimaryKeyConstraint("run_id", "seq"),
)

# Tokens spent and reserved by a workspace on one UTC day.
spend = Table(
    "spend",
    metadata,
    Column("workspace_id", Text, nullable=False),
    Column("day", Text, nullable=False),  # 2026-01-15
    Column("tokens", BigInteger, nullable=False, default=0),
    Column("reserved", BigInteger, nullable=False, default=0),
    Column("cost_usd", Double, nullable=False, default=0.0),
    PrimaryKeyConstraint("workspace_id", "day"),
)

# Deliveries of runs to webhooks, for the pages; see hooks.delivery.delivery_log.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("webhook", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("run_id", Text),
    Column("state", Text, nullable=False),
    Column("result", Text),
    Column("created_at", Double, nullable=False),
    Column("duration_ms", Double),
    Column("details", Text, nullable=False),  # JSON of hooks.record.Delivery
    Index("ix_deliveries_workspace_id_id", "workspace_id", "id"),
    Index("ix_deliveries_workspace_id_webhook_id", "workspace_id", "webhook", "id"),
    Index("ix_deliveries_run_id", "run_id"),
)
