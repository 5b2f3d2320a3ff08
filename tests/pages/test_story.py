"""The whole story in a real browser, in both languages, with a real worker.

Sign in, make the seed's callback, change a task, watch its run, read why another callback did not run, change a
setting, cancel a run, replay an event, sign out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from hookyard.core.ids import UserId, WorkspaceId
from hookyard.web.pages.language import Language, language
from hookyard.workspace.actor import Actor
from hookyard.workspace.tasks import TaskChange
from scripts.sample_data import Sample
from tests.pages.conftest import OpenPage
from tests.pages.environment import PagesEnvironment, world

ANSWERS = [sys.executable, "-c", "import sys; print('read', len(sys.stdin.read()), 'letters')"]
SLEEPS = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesEnvironment]:
    """The product with its worker, two agents that are processes, and an empty list of callbacks."""
    directory = tmp_path_factory.mktemp("story")
    now = time.time()
    samples = (Sample(now, tasks=3, bare=True), Sample(now, "zh-CN", "zhifu", tasks=3, seed=3, bare=True))
    with world(directory, *samples, work=True) as started:
        profiles = started.services.agent_profiles
        started.call(profiles.create("answers", {"kind": "command", "argv": ANSWERS}))
        started.call(profiles.create("sleeps", {"kind": "command", "argv": SLEEPS}))
        for sample in samples:
            for row in sample.task_rows:
                started.call(set_status(started, sample.workspace, row["task_id"], "todo"))
        yield started


async def set_status(started: PagesEnvironment, workspace: str, number: str, status: str) -> None:
    """Begin from a known status."""
    actor = Actor(UserId("usr_test"), "Test")
    await started.services.tasks.update(WorkspaceId(workspace), number, TaskChange(status=status), actor)


def ready(page: Page) -> None:
    """The editor is there, and its scripts, without which a key is pressed in vain."""
    expect(page.locator("[name=name]")).to_be_visible()
    page.wait_for_load_state("load")


def make_callback(page: Page, words: Language, name: str, agent: str, condition: str) -> None:
    """As the seed tells it: New, the type, events, prompt, condition, save."""
    page.locator(".nav [data-place=automations]").click()
    page.locator("[data-key=n]").click()
    page.locator("#new .item", has_text=str(words.t("automations.event_callback"))).first.click()
    ready(page)
    page.locator("[name=name]").fill(name)
    page.locator(".event-picker summary").click()
    for event in ("task.updated", "task.status_changed"):
        page.locator(f"[name=events][value='{event}']").check()
    page.keyboard.press("Escape")
    page.locator("#f-prompt").fill("{{taskTitle}}: {{taskStatus}}, {{updatedBy}}")
    page.locator("#f-condition").fill(condition)
    page.locator(f".tile:has([value='{agent}'])").click()
    expect(page.locator("[data-messages-of=condition] .message.err")).to_have_count(0)
    page.keyboard.press("Control+s")
    expect(page.locator(".strip.ok")).to_be_visible()
    expect(page.locator("h1")).to_have_text(name)


def change_status(page: Page, number: str, status: str) -> None:
    """Change a task's status on its page."""
    page.locator(".nav [data-place=tasks]").click()
    page.locator(f".ticket:has-text('{number}') .open").first.click()
    page.locator("aside [name=status]").select_option(status)
    page.locator("aside form button").click()
    expect(page.locator(".strip.ok")).to_be_visible()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("code", ["en", "zh-CN"])
def test_the_whole_story(open_page: OpenPage, working: PagesEnvironment, code: str) -> None:
    words, workspace = language(code), "payments" if code == "en" else "zhifu"
    secret = working.call(
        working.services.accounts.login_link(working.call(working.services.accounts.first_start())[0].id)
    )
    page = open_page(working, f"/login/{secret}", language=code)

    # Sign in.
    page.locator(".door .btn.main").click()
    expect(page.locator(".nav")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == code
    page.goto(f"{working.url}/w/{workspace}/tasks")

    # Two callbacks: one that runs, one whose condition does not hold.
    names = ("Blocked", "Reviewed") if code == "en" else ("阻塞任务分诊", "评审摘要")
    make_callback(page, words, names[0], "answers", "ctx.taskStatus === 'blocked'")
    make_callback(page, words, names[1], "answers", "ctx.taskStatus === 'review'")

    # Change a task, watch its run.
    change_status(page, "task-2", "blocked")
    page.locator(".nav [data-place=runs]").click()
    expect(page.locator(".rows .row", has_text=names[0]).first).to_contain_text("task-2")
    page.locator(".rows .row .open", has_text=names[0]).first.click()
    expect(page.locator(".pill")).to_have_text(str(words.t("status.succeeded")))
    expect(page.locator("#timeline")).to_contain_text("blocked")
    expect(page.locator(".answer")).to_contain_text("letters")

    # Why did the other one not run?
    page.locator(".facts .chip").click()
    row = page.locator(".gate-row", has_text=names[1])
    expect(row).to_contain_text(str(words.t("gate.condition")))
    expect(page.locator(".gate-row", has_text=names[0]).locator(".outcome a").first).to_be_visible()

    # The task tells both, and leads back.
    event = page.url
    page.goto(f"{working.url}/w/{workspace}/tasks/task-2")
    expect(page.locator("aside, .main-side").locator("a", has_text=names[0]).first).to_be_visible()
    expect(page.locator(".main-side .chip", has_text="task.status_changed").first).to_be_visible()
    page.goto(event)

    # Replay it.
    page.locator("[popovertarget=replay]").click()
    page.locator("#replay button").first.click()
    expect(page.locator(".strip.ok")).to_contain_text(str(words.t("done.replayed")))
    expect(page.locator(".gate-row", has_text=names[0]).locator(".outcome a").first).to_be_visible()

    # Change a setting.
    page.goto(f"{working.url}/w/{workspace}/settings")
    page.locator("[name='eventCallback.maxChain']").fill("5")
    page.keyboard.press("Control+s")
    expect(page.locator(".strip.ok")).to_be_visible()
    assert working.services.live.current.number("eventCallback.maxChain") == 5

    # A run that goes on, cancelled.
    page.goto(f"{working.url}/w/{workspace}/automations")
    page.locator(".rows .row .open", has_text=names[1]).click()
    ready(page)
    page.locator(".tile:has([value='sleeps'])").click()
    page.keyboard.press("Control+s")
    expect(page.locator(".strip.ok")).to_be_visible()
    change_status(page, "task-3", "review")
    page.locator(".nav [data-place=runs]").click()
    page.locator(".rows .row .open", has_text=names[1]).first.click()
    expect(page.locator(".pill")).to_have_text(str(words.t("status.running")))
    page.wait_for_load_state("load")  # without its scripts the page would not ask
    page.locator(".acts form .danger").click()
    page.locator("dialog[open] .danger").click()
    expect(page.locator(".pill")).to_have_text(str(words.t("status.cancelled")))

    # Sign out.
    page.locator(".me a").click()
    page.locator("form[action='/sign-out'] button").click()
    expect(page.locator("[name=password]")).to_be_visible()
    page.goto(f"{working.url}/w/{workspace}/tasks")
    expect(page.locator("[name=password]")).to_be_visible()
