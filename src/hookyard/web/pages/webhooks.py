"""Webhooks: endpoints with their health, deliveries with every attempt, replay, test; administrators change them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from hookyard.core.errors import ConflictError, InvalidError, NotFoundError, Problem
from hookyard.hooks.points import ANY, POINTS, points_of
from hookyard.web import webhook_test
from hookyard.web.pages.form import Form
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.plots import Tick
from hookyard.web.pages.queries import webhooks as queries
from hookyard.web.webhook_coverage import coverage
from hookyard.workspace.webhooks import StoredWebhook

FORMATS = ("auto", "hookyard", "slack", "dingtalk", "wecom", "feishu", "discord", "teams", "cloudevents")
KINDS = {"ok": "ok", "warning": "ok", "modify": "mod", "deny": "denied"}
_TEXTS = ("description", "method", "matcher", "format", "on_failure", "mode")
_NUMBERS = ("timeout_secs", "deadline_secs")
_WHOLE = ("retries", "priority", "batch_size", "flush_interval_ms")


def marks(visit: PageContext, rows: Sequence[queries.DeliveryRow]) -> list[Tick]:
    """Return the newest deliveries as the marks of a strip."""
    words = visit.language
    found = []
    for row in rows:
        kind = "err" if row.state in queries.FAILED else KINDS.get(row.result or "ok", "ok")
        tip = f"{words.word('status', row.word)}{words.comma}{words.ago_text(row.at)}"
        found.append(Tick(kind, tip, visit.path("webhooks", row.webhook, delivery=row.id)))
    return found


def counted(visit: PageContext, rows: Sequence[queries.DeliveryRow]) -> str:
    """Return the strip as text."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.word] = counts.get(row.word, 0) + 1
    parts = [f"{count} {visit.language.word('status', word)}" for word, count in counts.items()]
    return visit.language.comma.join(parts) or str(visit.language.t("webhooks.none_sent"))


async def webhooks_page(visit: PageContext) -> Response:
    """Show the endpoints, and the deliveries of the one in the address (the first, when it names none)."""
    kept = {one.name: one for one in await visit.services.webhooks.list(visit.workspace)}
    asked = visit.request.path_params.get("webhook", "")
    only = visit.query("only", "failed", "deny", "modify", "warning")
    workspace, after, delivery_id = visit.workspace_id, visit.query("after"), visit.query("delivery")

    def read(conn: Connection) -> dict[str, Any]:
        seen, day = queries.names(conn, workspace, visit.now)
        names = list(dict.fromkeys((*kept, *seen)))
        chosen = asked or (names[0] if names else "")
        rows, following = queries.deliveries(conn, workspace, chosen, only, after) if chosen else ([], "")
        shown = delivery_id or (rows[0].id if rows else "")
        return {
            "names": names,
            "day": day,
            "chosen": chosen,
            "rows": rows,
            "following": following,
            "health": {name: queries.health(conn, workspace, name) for name in names[:100]},
            "delivery": queries.one(conn, workspace, shown) if shown else None,
        }

    data = await visit.services.database.read(read)
    if asked and asked not in data["names"] and not data["rows"]:
        raise NotFoundError("there is no such webhook", where=asked)
    attention = sum(health.failures >= 2 for health in data["health"].values())
    return await visit.page(
        "webhooks.html", kept=kept, only=only, attention=attention, marks=lambda rows: marks(visit, rows),
        counted=lambda rows: counted(visit, rows), fall=waterfall(data["delivery"]) if data["delivery"] else None,
        shown=_shown_delivery(data["delivery"]),
        covers=coverage(kept[data["chosen"]].shown) if data["chosen"] in kept else {}, **data,
    )  # fmt: skip


def waterfall(delivery: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attempts on one time line: each with the parts of its bar, and the whole in milliseconds."""
    attempts = delivery.get("attempts") or []
    if not attempts:
        return {"rows": [], "ms": 0.0}
    begun = attempts[0]["at"]
    ends = [(a["at"] - begun) * 1000 + a["duration_ms"] for a in attempts]
    whole = max(max(ends), 1.0)
    rows = []
    for index, attempt in enumerate(attempts):
        start = (attempt["at"] - begun) * 1000 / whole
        bad = attempt.get("error") is not None
        parts = [("err" if bad else "ok", start, attempt["duration_ms"] / whole)]
        if index + 1 < len(attempts):
            wait = (attempts[index + 1]["at"] - begun) * 1000 / whole
            parts.append(("soft", ends[index] / whole, max(0.0, wait - ends[index] / whole)))
        rows.append({"attempt": attempt, "parts": parts, "bad": bad})
    return {"rows": rows, "ms": whole}


def _shown_delivery(delivery: Mapping[str, Any] | None) -> dict[str, Any]:
    if delivery is None:
        return {}
    attempts = delivery.get("attempts") or [{}]
    state, result = delivery.get("state"), delivery.get("result")
    word = state if state in (*queries.FAILED, "pending") else result or "delivered"
    at = int(attempts[-1].get("at", 0))
    headers = f"content-type: application/json\nwebhook-id: {delivery['id']}\nwebhook-timestamp: {at}"
    body = _quoted(delivery.get("request", ""))
    return {
        "word": word,
        "tool": queries.tool_of(delivery.get("request", "")),
        "answer": attempts[-1].get("answer") or "",
        "status": attempts[-1].get("status"),
        "headers": headers,
        "curl": f"curl -X POST {delivery.get('url', '')} -H 'content-type: application/json' -d {body}",
    }


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


async def webhook_act(visit: PageContext) -> Response:
    """Test, replay or remove a webhook."""
    form, name = await visit.form(), visit.path_param("webhook")
    _administrators(visit)
    do = form.text("do")
    if do == "delete":
        await visit.services.webhooks.remove(visit.workspace, name)
        return visit.redirect(visit.path("webhooks"), "webhook_deleted")
    if do == "replay":
        made = await webhook_test.replay(visit.services, visit.workspace, form.text("delivery"))
        return visit.redirect(visit.path("webhooks", name, delivery=made), "delivery_replayed")
    made = await webhook_test.test(visit.services, visit.workspace, name)
    return visit.redirect(visit.path("webhooks", name, delivery=made), "webhook_tested")


def _administrators(visit: PageContext) -> None:
    assert visit.session is not None
    visit.session.principal.require()


async def webhook_editor(visit: PageContext) -> Response:
    """Make a webhook, or change one."""
    name = visit.request.path_params.get("webhook", "")
    old = next((one for one in await visit.services.webhooks.list(visit.workspace) if one.name == name), None)
    if name and old is None:
        raise NotFoundError("there is no such webhook", where=name)
    if visit.request.method == "GET":
        return await _editor(visit, old, dict(old.shown) if old else {"trigger": "pre_tool"}, ())
    form = await visit.form()
    given = given_of(form)
    try:
        kept, _ = await visit.services.webhooks.put(
            visit.workspace, name or form.text("name"), given, new_only=not name
        )
    except (InvalidError, ConflictError) as error:
        problems = error.problems if isinstance(error, InvalidError) else ()
        return await _editor(visit, old, given, problems or (Problem("name", error.what),), 422)
    return visit.redirect(visit.path("webhooks", kept.name), "saved")


async def _editor(
    visit: PageContext,
    old: StoredWebhook | None,
    given: Mapping[str, Any],
    problems: Sequence[Problem],
    status: int = 200,
) -> Response:
    # By what the trigger means, not by what it says: `*`, or a word that stands for several points.
    chosen = points_of(str(given.get("trigger") or ""))
    words = [(spec.words[0], spec.may_deny, point in chosen) for point, spec in POINTS.items()]
    return await visit.page(
        "webhook.html", status, old=old, g=given, problems=problems, words=words, formats=FORMATS,
        known=old.shown.get("headers", []) if old else [], covers=coverage(given),
    )  # fmt: skip


def given_of(form: Form) -> dict[str, Any]:
    """Return the keys of an entry without empty ones; write-only values then stay as they are.

    Raises:
        InvalidError: A number that is none, or a header without a colon.
    """
    given: dict[str, Any] = {"name": form.text("name"), "enabled": form.on("enabled")}
    words = form.all("words")
    given["trigger"] = form.text("trigger") or (ANY if len(set(words)) == len(POINTS) else ",".join(words))
    for key in _TEXTS:
        if form.text(key):
            given[key] = form.text(key)
    for key in _WHOLE:
        number = form.number(key)
        if number is not None:
            given[key] = number
    for key in _NUMBERS:
        if form.text(key):
            try:
                given[key] = json.loads(form.text(key))
            except ValueError:
                raise InvalidError(f"{form.text(key)[:40]!r} is no number", where=key) from None
    if redact := [line.strip() for line in form.raw("redact").splitlines() if line.strip()]:
        given["redact"] = redact
    if form.text("url"):
        given["url"] = form.text("url")
    if form.text("secret"):
        given["secret"] = form.text("secret")
    if headers := _headers(form.raw("headers")):
        given["headers"] = headers
    return given


def _headers(text: str) -> dict[str, str]:
    headers = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise InvalidError(f"{line[:40]!r} is no header", where="headers", hint="write Name: value")
        if line.strip():
            headers[name.strip()] = value.strip()
    return headers
