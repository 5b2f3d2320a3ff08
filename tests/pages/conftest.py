"""Fixtures of the tests of the pages: one server with sample data, one browser."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from scripts.sample_data import Sample
from tests.pages.environment import PagesEnvironment, world

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"]

WAIT_MS = 60_000
"""For what must come: far longer than it takes, on a machine that does much else."""

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesEnvironment]:
    """The product with two workspaces, one in each language."""
    now = time.time()
    with world(tmp_path_factory.mktemp("pages"), Sample(now), Sample(now, "zh-CN", "zhifu", seed=3)) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium.

    For one module, not for the session: as long as it is there an event loop runs in this thread, and no test of
    another
    folder could run its own.
    """
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium, though this is CI")
        pytest.skip("no Chromium here: apt-get install chromium fonts-noto-cjk")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open an address as somebody; any error of the page's own scripts fails the test."""
    contexts = []
    errors: list[str] = []

    def opened(started: PagesEnvironment, path: str, secret: str = "", *, language: str = "en", **options: Any) -> Page:
        context = browser.new_context(locale=language, **options)
        contexts.append(context)
        if secret:
            context.add_cookies([{"name": "hookyard_session", "value": secret, "url": started.url}])
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if _is_policy(message.text) else None)
        page.goto(started.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors


def _is_policy(text: str) -> bool:
    return "Content Security Policy" in text


def every_path(sample: Sample) -> list[str]:
    """Every page of a workspace, with something to show on it."""
    return [
        f"/w/{sample.workspace}/{rest}"
        for rest in (
            "tasks", "tasks?view=list", "tasks?q=nothing-of-the-kind", f"tasks/{sample.task_rows[5]['task_id']}",
            "automations", "automations/new", "automations/new?template=blocked", "automations/templates",
            "automations/import", f"automations/{sample.callback_ids[0]}", f"automations/{sample.callback_ids[5]}",
            f"automations/{sample.callback_ids[0]}/versions", f"automations/{sample.callback_ids[0]}/yaml", "runs",
            "runs?status=failed", f"runs/{sample.story['id']}", f"runs/{sample.run_rows[-1]['id']}", "events",
            "events?outcome=broken", f"events/{sample.event_rows[-3]['id']}",
            f"events/{sample.event_rows[-3]['id']}?tab=cloudevent&only=listening", "webhooks", "webhooks/security-gate",
            "webhooks/new", "webhooks/audit-log/edit", "dashboard", "dashboard?window=7d", "members", "account",
            "find?q=task", "settings", "settings/agents", "settings/keys", "settings/tokens", "settings/people",
            "settings/event-types", "settings/sources", "settings/workspaces",
        )
    ]  # fmt: skip


@pytest.fixture
def shots() -> Path | None:
    """Where pictures go when somebody wants to look at them: `HOOKYARD_SHOTS`."""
    directory = os.environ.get("HOOKYARD_SHOTS")
    return Path(directory) if directory else None
