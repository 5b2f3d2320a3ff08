# ruff: noqa: E501 (JavaScript and tables of paths)
"""Text stays inside its panel: awkward names, paths and titles, at three widths, in both languages and themes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from hookyard.store import schema
from scripts.sample_data import Sample
from tests.pages.conftest import OpenPage
from tests.pages.environment import PagesEnvironment, world

LONG = "averyveryverylongnamewithoutanyspaceinitthatnothingcanbreakapart" * 2
PATH = "/home/somebody/.local/share/hookyard/workspaces/payments/runs/" + "deep/" * 12 + "worktree"
HAN = "一个没有任何空格的非常非常长的回调名称用来检查页面的各个栏目是否会被撑破" * 2

# Every text of the page, as far as it is not cut with an ellipsis or scrolled, lies in each panel around it.
OUTSIDE = r"""() => {
  const PANELS = '.aside, .card, .row, .column, .ticket, .pane, .details, .details > div, .facts > div, .split > *,'
    + ' .menu, .dialog, .tool, .strip, .stack, .main-side, .editor-form, .preview, .panel, .nav'
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let text; (text = walk.nextNode());) {
    const holder = text.parentElement
    if (!text.data.trim() || holder.closest('.sr, .skip, script, template, svg, option, textarea, select') || !holder.checkVisibility({ visibilityProperty: true })) continue
    const range = document.createRange()
    range.selectNodeContents(text)
    for (const rect of range.getClientRects()) {
      let { left, right } = rect
      for (let at = holder; at && at !== document.body; at = at.parentElement) {
        const style = getComputedStyle(at), box = at.getBoundingClientRect()
        if (at.matches(PANELS) && (right > box.right + 1.5 || left < box.left - 1.5)) {
          found.push(`${text.data.trim().slice(0, 30)} outside of ${at.className || at.localName}: ${Math.round(left)}-${Math.round(right)} in ${Math.round(box.left)}-${Math.round(box.right)}`)
          break
        }
        const cut = style.overflowX === 'auto' || style.overflowX === 'scroll' || (style.overflowX !== 'visible' && (style.textOverflow === 'ellipsis' || style.webkitLineClamp !== 'none'))
        if (cut) { left = Math.max(left, box.left); right = Math.min(right, box.right) }
        if (right <= left) break
      }
    }
  }
  for (const line of document.querySelectorAll('.details > div')) {
    const [a, b] = [...line.children].map(e => e.getBoundingClientRect())
    if (a && b && a.width && b.width && a.right > b.left + 1.5 && a.bottom > b.top + 1.5 && b.bottom > a.top + 1.5) found.push(`overlap: ${line.textContent.trim().slice(0, 60)}`)
  }
  return [...new Set(found)]
}"""


def awkward(server: PagesEnvironment, sample: Sample, words: str) -> None:
    """Give callbacks, tasks, agents and attempts of a sample names that nobody has thought of."""

    def write(conn: Connection) -> None:
        mine = schema.callbacks.c.workspace_id == sample.workspace
        for index, key in enumerate(sample.callback_ids[:4]):
            conn.execute(
                schema.callbacks.update().where(mine, schema.callbacks.c.id == key).values(name=f"{words}{index}")
            )
        conn.execute(
            schema.tasks.update()
            .where(
                schema.tasks.c.workspace_id == sample.workspace,
                schema.tasks.c.task_id.in_([r["task_id"] for r in sample.task_rows[:8]]),
            )
            .values(title=words, labels=json.dumps([words[:40], "b"]))
        )
        runs = [sample.story["id"], sample.run_rows[-1]["id"]]
        conn.execute(schema.runs.update().where(schema.runs.c.id.in_(runs)).values(agent=words[:60]))
        conn.execute(
            schema.attempts.update()
            .where(schema.attempts.c.run_id == runs[0])
            .values(folder=PATH, model=words, worker_id=words)
        )
        conn.execute(
            schema.attempts.update()
            .where(schema.attempts.c.run_id == runs[1])
            .values(folder=None, model=words, worker_id=words)
        )

    server.services.database.write_sync(write)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesEnvironment]:
    """Two workspaces with awkward data."""
    now = time.time()
    samples = (Sample(now), Sample(now, "zh-CN", "zhifu", seed=3))
    with world(tmp_path_factory.mktemp("layout"), *samples) as started:
        for sample, words in zip(samples, (LONG, HAN), strict=True):
            awkward(started, sample, words)
        yield started


def paths(sample: Sample) -> list[str]:
    places = (
        f"runs/{sample.story['id']}", f"runs/{sample.run_rows[-1]['id']}", "runs", "dashboard", "tasks", "tasks?view=list",
        f"tasks/{sample.task_rows[0]['task_id']}", "automations", f"automations/{sample.callback_ids[0]}",
        f"automations/{sample.callback_ids[0]}/versions", "events", f"events/{sample.event_rows[-3]['id']}",
        "webhooks/security-gate", "members", "settings", "settings/agents", "account",
    )  # fmt: skip
    return [f"/w/{sample.workspace}/{place}" for place in places]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [390, 960, 1280])
@pytest.mark.parametrize(("workspace", "theme"), [("payments", "light"), ("zhifu", "dark")])
def test_no_text_leaves_its_panel(
    open_page: OpenPage, server: PagesEnvironment, workspace: str, theme: str, width: int
) -> None:
    language = "en" if workspace == "payments" else "zh-CN"
    view = {"width": width, "height": 900}
    page = open_page(server, "/sign-in", server.boss, language=language, color_scheme=theme, viewport=view)
    outside = []
    for path in paths(server.samples[workspace]):
        page.goto(server.url + path)
        outside += [f"{path}: {fault}" for fault in page.evaluate(OUTSIDE)]
    assert not outside, "\n".join(outside)
