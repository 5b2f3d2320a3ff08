"""The dashboard: runs over time by outcome, the queue, and what stands out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.plots import nice_top
from hookyard.web.pages.queries import dashboard as queries
from hookyard.web.pages.queries import runs as run_queries
from hookyard.web.pages.queries import webhooks as webhook_queries
from hookyard.web.pages.webhooks import counted, marks

WINDOWS = {"1h": (3600.0, 60), "24h": (86_400.0, 48), "7d": (7 * 86_400.0, 56), "30d": (30 * 86_400.0, 60)}
_SHOWN = ("succeeded", "failed", "timed_out", "cancelled")
_CLASSES = {"succeeded": "ok", "failed": "err", "timed_out": "late", "cancelled": "idle"}
_LABELS = 6


async def dashboard_page(visit: PageContext) -> Response:
    """Show the dashboard."""
    window = visit.query("window", *WINDOWS) or "24h"
    seconds, steps = WINDOWS[window]
    callback, workspace, now = visit.query("callback"), visit.workspace_id, visit.now
    start = visit.language.next_round(now, seconds / steps) - seconds

    def read(conn: Connection) -> dict[str, Any]:
        names, _ = webhook_queries.names(conn, workspace, now)
        health = {name: webhook_queries.health(conn, workspace, name) for name in names[:12]}
        return {
            "figures": queries.figures(conn, workspace, now, start, seconds, steps, callback),
            "callbacks": run_queries.callback_names(conn, workspace),
            "hooks": sorted(health.items(), key=lambda one: (-one[1].failures, one[0]))[:5],
        }

    data = await visit.services.database.read(read)
    figures: queries.Figures = data["figures"]
    counts = figures.counts
    ended = sum(counts.get(status, 0) for status in queries.ENDED)
    ended_before = sum(figures.before.get(status, 0) for status in queries.ENDED)
    live = visit.services.live.current
    return await visit.page(
        "dashboard.html", window=window, windows=list(WINDOWS), callback=callback, counts=counts, ended=ended,
        step=seconds / steps, plot=_plot(visit, figures, start, seconds, steps), trends=_trends(figures),
        total=sum(counts.values()), total_before=sum(figures.before.values()),
        success=100 * counts.get("succeeded", 0) / ended if ended else None,
        success_before=100 * figures.before.get("succeeded", 0) / ended_before if ended_before else None,
        start_p95=queries.part_of(sorted(figures.starts), 0.95) if figures.starts else None,
        token_limit=live.number("quota.tokensPerDay"), slots=live.number("eventCallback.maxQueueSize"),
        marks=lambda rows: marks(visit, rows[-18:]), counted=lambda rows: counted(visit, rows), **data,
    )  # fmt: skip


def _plot(visit: PageContext, figures: queries.Figures, start: float, seconds: float, steps: int) -> dict[str, Any]:
    """Return the columns of the plot, their tips and the labels of both axes."""
    words, step = visit.language, seconds / steps
    columns, tips = [], []
    for index, bucket in enumerate(figures.buckets):
        columns.append({_CLASSES[status]: bucket.get(status, 0) for status in _SHOWN})
        at = start + index * step
        span = (
            f"{words.hour(at)} – {words.hour(at + step)}" if seconds <= 86_400 else f"{words.date(at)} {words.hour(at)}"
        )
        lines = [f"{words.t(f'status.{status}')}  {bucket[status]}" for status in _SHOWN if bucket.get(status)]
        tips.append("\n".join([span, *(lines or [str(words.t("dashboard.none"))])]))
    top = nice_top(max((sum(column.values()) for column in columns), default=1))
    marks = [start + seconds * n / _LABELS for n in range(_LABELS)]
    labels = [words.hour(at) if seconds <= 86_400 else words.date(at) for at in marks]
    return {
        "columns": columns, "tips": tips, "top": top, "labels": [*labels, str(words.t("dashboard.now"))],
        "axis": [top * n // 5 for n in range(5, -1, -1)],
    }  # fmt: skip


def _trends(figures: queries.Figures) -> dict[str, list[float]]:
    """Return fifteen points each of the runs, the success rate and the time to start."""
    width = max(1, len(figures.buckets) // 15)
    groups = [figures.buckets[n : n + width] for n in range(0, len(figures.buckets), width)]
    runs = [float(sum(sum(bucket.values()) for bucket in group)) for group in groups]
    rates: list[float] = []
    for group in groups:
        ended = sum(bucket.get(status, 0) for bucket in group for status in queries.ENDED)
        good = sum(bucket.get("succeeded", 0) for bucket in group)
        rates.append(good / ended if ended else rates[-1] if rates else 1.0)
    starts = list(reversed(figures.starts))
    size = max(1, len(starts) // 15)
    times = [max(starts[n : n + size]) for n in range(0, len(starts), size)]
    return {"runs": runs, "rates": rates, "starts": times}
