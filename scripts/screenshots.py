"""Take the pictures of the README and the documentation from the running product: `uv run python -m
scripts.screenshots`.

Tells the demo's story on a real server (the model is the scripted model), adds a few tasks and callbacks through the
API, signs in
with the login link and photographs pages into `docs/images/`, in both languages, light and dark, wide and as a phone.
Needs
Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, StorageState, ViewportSize, sync_playwright

from hookyard.cli.demo import scenario
from hookyard.cli.demo.output import DemoOutput
from hookyard.cli.demo.receiver import receiving
from hookyard.cli.demo.server import DemoServer, serving

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
WIDE: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
LOOKS: tuple[tuple[str, Literal["light", "dark"], ViewportSize], ...] = (
    ("light", "light", WIDE),
    ("dark", "dark", WIDE),
    ("phone", "light", PHONE),
)
TASKS = [
    ("Payment callback times out intermittently", "bug", "blocked", "支付回调偶发超时"),
    ("Refund webhook answers 409 on retry", "bug", "todo", "退款 webhook 重试返回 409"),
    ("Write the release notes of v42", "task", "done", "编写 v42 发布说明"),
    ("Rotate the signing keys", "task", "in_progress", "轮换签名密钥"),
    ("White screen on the checkout page", "bug", "blocked", "结账页白屏"),
    ("Invoices lose their attachments", "bug", "in_progress", "发票附件丢失"),
    ("Move the ledger to the new cluster", "story", "todo", "将账本迁移到新集群"),
]


def furnish(server: DemoServer) -> None:
    """More than one story needs: tasks whose changes start, skip and repeat runs."""
    callbacks = f"/workspaces/{scenario.WORKSPACE}/callbacks"
    server.api("POST", callbacks, {
        "name": "Blocked again?", "events": ["task.status_changed"], "condition": "ctx.taskStatus === 'blocked'",
        "prompt": "{{taskId}} is blocked again: look at what was tried before.",
    })  # fmt: skip
    server.api("POST", callbacks, {
        "name": "New bugs", "events": ["task.created"], "condition": "ctx.taskType === 'bug'",
        "prompt": "Find a likely owner for “{{taskTitle}}” and say why.",
    })  # fmt: skip
    for title, kind, status, title_zh in TASKS:
        for text in (title, title_zh):
            made = server.api(
                "POST", f"/workspaces/{scenario.WORKSPACE}/tasks", {"title": text, "type": kind, "status": "todo"}
            )
            path = f"/workspaces/{scenario.WORKSPACE}/tasks/{made['taskId']}"
            if status != "todo":
                server.api("PATCH", path, {"status": status})
    wait_for_runs(server)


def wait_for_runs(server: DemoServer) -> None:
    """Until nothing waits or runs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        runs = server.api("GET", f"/workspaces/{scenario.WORKSPACE}/runs?limit=100")["items"]
        if all(run["status"] not in ("queued", "running") for run in runs):
            return
        time.sleep(0.2)


def pages(server: DemoServer) -> dict[str, str]:
    """Name and path of every picture."""
    root = f"/w/{scenario.WORKSPACE}"
    runs = server.api("GET", f"/workspaces/{scenario.WORKSPACE}/runs?limit=100")["items"]
    run = next(run for run in runs if run["callbackName"] == scenario.TRIAGE["name"])
    return {
        "run": f"{root}/runs/{run['id']}",
        "event": f"{root}/events/{run['eventId']}",
        "automations": f"{root}/automations",
        "editor": f"{root}/automations/{run['callbackId']}",
        "dashboard": f"{root}/dashboard",
        "tasks": f"{root}/tasks",
        "webhooks": f"{root}/webhooks",
        "runs": f"{root}/runs",
        "events": f"{root}/events",
        "settings": f"{root}/settings",
        "members": f"{root}/members",
    }


def signed_in(browser: Browser, server: DemoServer) -> StorageState:
    """The state of a browser that has used the login link."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.link)
    page.locator("form button").first.click()
    page.wait_for_url("**/w/**")
    state = context.storage_state()
    context.close()
    return state


def photograph(page: Page, server: DemoServer, path: str, file: Path) -> None:
    """One page, when it has come to rest."""
    answered = page.goto(server.url + path)
    assert answered is not None
    assert answered.ok, f"{path} answered {answered.status}"
    page.wait_for_timeout(400)
    page.screenshot(path=file)


def take(server: DemoServer, directory: Path) -> int:
    """Every picture; how many there are."""
    taken = 0
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        state = signed_in(browser, server)
        for language, locale in (("en", "en-GB"), ("zh-CN", "zh-CN")):
            for look, scheme, size in LOOKS:
                context = browser.new_context(
                    storage_state=state, locale=locale, color_scheme=scheme, viewport=size, device_scale_factor=1
                )
                page = context.new_page()
                for name, path in pages(server).items():
                    photograph(page, server, path, directory / f"{name}.{language}.{look}.png")
                    taken += 1
                context.close()
        browser.close()
    return taken


def main() -> int:
    """Tell the story, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=IMAGES, help="folder of the pictures (docs/images)")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, receiving() as receiver:
        data = Path(directory)
        scenario.write_hooks(data, receiver)
        with serving(data, scenario.environment()) as server:
            scenario.Scenario(DemoOutput.for_terminal("en"), server, receiver, data).go()
            furnish(server)
            print(f"{take(server, given.to)} pictures in {given.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
