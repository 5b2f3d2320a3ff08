"""Live updates never take away what the reader is doing: typing, selecting, reading in a fold, scrolling.

Each page is opened before the run starts; then runs of this task and of another one start and end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Locator, Page, Route, expect
from sqlalchemy import Connection

from hookyard.store.database import announce
from hookyard.store.schema import run_entries, runs, tasks
from scripts.sample_data import Sample
from tests.pages.conftest import OpenPage
from tests.pages.environment import PagesEnvironment, world

NEXT = iter(range(10_000))
LOOKED = "() => window.looked"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesEnvironment]:
    """A server of this module's own, since its runs start and end."""
    with world(tmp_path_factory.mktemp("live"), Sample(time.time(), runs=60, events=400)) as started:
        yield started


def start(server: PagesEnvironment, task: str | None = None, status: str = "running", **row: Any) -> str:
    """Store a run that has just started and signal it, as admission does."""
    sample = server.samples["payments"]
    old = next(r for r in reversed(sample.run_rows) if r["status"] == "running")
    number = next(NEXT)
    made = {**old, "id": f"run_live{number:06d}", "status": status, "queued_at": time.time(), "started_at": time.time()}
    made |= {"subject": task or old["subject"], "finished_at": None, "snippet": f"live {number}"} | row

    def write(conn: Connection) -> None:
        conn.execute(runs.insert().values(made))
        announce(conn, "runs:payments", f"run:{made['id']}")

    server.services.database.write_sync(write)
    return str(made["id"])


def end(server: PagesEnvironment, run: str) -> None:
    """End a run and signal it."""

    def write(conn: Connection) -> None:
        conn.execute(runs.update().where(runs.c.id == run).values(status="succeeded", finished_at=time.time()))
        announce(conn, "runs:payments", f"run:{run}")

    server.services.database.write_sync(write)


def entry(server: PagesEnvironment, run: str, seq: int, kind: str, **data: Any) -> None:
    """A fact of a run."""

    def write(conn: Connection) -> None:
        row = {"run_id": run, "seq": seq, "attempt": 1, "at": time.time(), "kind": kind, "data": json.dumps(data)}
        conn.execute(run_entries.insert().values(row))
        announce(conn, f"run:{run}")

    server.services.database.write_sync(write)


def count_looks(page: Page) -> None:
    """Count how often the page has asked for itself again and has applied the answer."""
    page.evaluate(
        """() => { window.looked = 0; const ask = window.fetch
        window.fetch = async (...all) => { const answer = await ask(...all); const text = answer.text.bind(answer)
          answer.text = async () => { const given = await text(); setTimeout(() => window.looked++, 0); return given }
          return answer } }"""
    )


def looked(page: Page, server: PagesEnvironment, task: str | None = None) -> None:
    """Start and end a run of a task until the page has looked twice, so that both have been shown to it."""
    for _ in range(2):
        before = page.evaluate(LOOKED)
        run = start(server, task)
        page.wait_for_function(f"() => window.looked > {before}")
        before = page.evaluate(LOOKED)
        end(server, run)
        page.wait_for_function(f"() => window.looked > {before}")


def task_of(server: PagesEnvironment, index: int = 5) -> str:
    return str(server.samples["payments"].task_rows[index]["task_id"])


def open_live(open_page: OpenPage, server: PagesEnvironment, path: str) -> Page:
    page = open_page(server, f"/w/payments/{path}", server.boss)
    page.wait_for_load_state("load")
    count_looks(page)
    return page


def caret(field: Locator) -> list[int]:
    found: list[int] = field.evaluate("e => [e.selectionStart, e.selectionEnd]")
    return found


def test_a_half_typed_comment_stays_and_the_runs_become_true(open_page: OpenPage, server: PagesEnvironment) -> None:
    task = task_of(server)
    page = open_live(open_page, server, f"tasks/{task}")
    comment = page.locator("#f-content")
    comment.click()
    page.keyboard.type("half a comment")
    comment.evaluate("e => { e.setSelectionRange(2, 6); window.node = e }")
    looked(page, server)
    looked(page, server, task)
    run = start(server, task)
    expect(page.locator("#runs .row").filter(has=page.locator(f"[href$='{run}']"))).to_contain_text("Running")
    expect(comment).to_be_focused()
    expect(comment).to_have_value("half a comment")
    assert caret(comment) == [2, 6]
    assert page.evaluate("() => window.node === document.getElementById('f-content')")
    page.keyboard.press("End")
    page.keyboard.type(", and the rest")
    end(server, run)
    expect(page.locator("#runs .row").filter(has=page.locator(f"[href$='{run}']"))).to_contain_text("Succeeded")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".talk li").last).to_contain_text("half a comment, and the rest")
    expect(page.locator("#f-content")).to_have_value("")


def test_changed_fields_keep_their_values_when_focus_is_elsewhere(
    open_page: OpenPage, server: PagesEnvironment
) -> None:
    task = task_of(server, 6)
    page = open_live(open_page, server, f"tasks/{task}")
    page.locator("#f-content").fill("not sent yet")
    page.locator("aside [name=status]").select_option("review")
    page.locator("h1").click()
    looked(page, server, task)
    expect(page.locator("#f-content")).to_have_value("not sent yet")
    expect(page.locator("aside [name=status]")).to_have_value("review")


def test_a_comment_is_composed_while_runs_start(open_page: OpenPage, server: PagesEnvironment) -> None:
    task = task_of(server, 7)
    page = open_live(open_page, server, f"tasks/{task}")
    comment = page.locator("#f-content")
    comment.click()
    page.evaluate(
        "() => { window.composed = []; for (const kind of ['compositionstart', 'compositionend'])"
        " document.addEventListener(kind, e => window.composed.push(kind + e.data)) }"
    )
    keys: CDPSession = page.context.new_cdp_session(page)
    keys.send("Input.imeSetComposition", {"text": "ni", "selectionStart": 2, "selectionEnd": 2})
    before = page.evaluate("() => document.getElementById('page').innerHTML")
    run = start(server, task)
    other = start(server)
    # Nothing at all changes on the page while a word is composed, and the word goes on.
    page.wait_for_timeout(2500)  # longer than between two hints; what is awaited is that nothing comes
    keys.send("Input.imeSetComposition", {"text": "nihao", "selectionStart": 5, "selectionEnd": 5})
    assert page.evaluate("() => window.composed") == ["compositionstart"]
    assert page.evaluate("() => document.getElementById('page').innerHTML") == before
    expect(comment).to_have_value("nihao")
    keys.send("Input.insertText", {"text": "你好"})
    expect(comment).to_have_value("你好")
    expect(page.locator(f"#runs [href$='{run}']")).to_be_visible()
    expect(comment).to_be_focused()
    expect(comment).to_have_value("你好")
    end(server, run)
    end(server, other)


def test_what_was_refused_stays_in_its_form(open_page: OpenPage, server: PagesEnvironment) -> None:
    """The page that answers a refused form has what was typed as its default."""
    task = task_of(server, 8)
    page = open_live(open_page, server, f"tasks/{task}")
    page.locator("#f-content").evaluate("(e, text) => { e.value = text }", "x" * 70_000)
    page.locator("#comments form .btn").click()
    expect(page.locator("#comments .message.err")).to_be_visible()
    page.wait_for_load_state("load")
    count_looks(page)
    looked(page, server, task)
    expect(page.locator("#f-content")).to_have_value("x" * 70_000)
    expect(page.locator("#comments .message.err")).to_be_visible()


def test_a_dialog_in_use_and_a_fold_stay(open_page: OpenPage, server: PagesEnvironment) -> None:
    task = task_of(server, 9)
    page = open_live(open_page, server, f"tasks/{task}")
    page.locator("[data-dialog=edit-task]").click()
    page.locator("#edit-task [name=title]").fill("another title")
    looked(page, server, task)
    expect(page.locator("#edit-task")).to_be_visible()
    expect(page.locator("#edit-task [name=title]")).to_have_value("another title")
    expect(page.locator("#edit-task [name=title]")).to_be_focused()
    page.locator("#edit-task [data-close]").click()
    page.locator("[popovertarget=task-menu]").click()
    looked(page, server, task)
    expect(page.locator("#task-menu")).to_be_visible()


def test_selected_text_stays_selected_until_it_is_let_go(open_page: OpenPage, server: PagesEnvironment) -> None:
    run = start(server)
    page = open_live(open_page, server, "runs")
    row = page.locator(".rows .row").filter(has=page.locator(f"[href$='{run}']"))
    row.locator(".xs").first.evaluate("e => getSelection().selectAllChildren(e)")
    words = page.evaluate("() => String(getSelection())")
    assert words.startswith("live ")
    other = start(server)
    expect(page.locator(f".rows [href$='{other}']")).to_be_visible()

    def write(conn: Connection) -> None:
        conn.execute(runs.update().where(runs.c.id == run).values(snippet="something else"))
        announce(conn, "runs:payments")

    server.services.database.write_sync(write)
    end(server, other)
    expect(page.locator(".rows .row").filter(has=page.locator(f"[href$='{other}']"))).to_contain_text("Succeeded")
    assert page.evaluate("() => String(getSelection())") == words
    page.evaluate("() => getSelection().removeAllRanges()")
    expect(row).to_contain_text("something else")  # what had to wait comes now, without another run
    end(server, run)


def test_the_board_keeps_scroll_focus_and_what_is_typed_in_its_filter(
    open_page: OpenPage, server: PagesEnvironment
) -> None:
    page = open_live(open_page, server, "tasks")
    page.set_viewport_size({"width": 800, "height": 600})
    page.locator(".board").evaluate("e => { e.scrollLeft = 140 }")
    search = page.locator("[data-search]")
    search.focus()
    page.keyboard.type("a")
    page.wait_for_function("() => window.looked > 0")
    page.locator(".board").evaluate("e => { e.scrollLeft = 140 }")
    looked(page, server)
    assert page.locator(".board").evaluate("e => e.scrollLeft") == 140
    expect(search).to_be_focused()
    expect(search).to_have_value("a")
    ticket = page.locator(".ticket .open").nth(1)
    ticket.focus()
    looked(page, server)
    expect(ticket).to_be_focused()


@pytest.mark.parametrize("path", ["settings", "automations"])
def test_forms_of_other_pages_are_left_alone(open_page: OpenPage, server: PagesEnvironment, path: str) -> None:
    callback = server.samples["payments"].callback_ids[0]
    page = open_page(server, f"/w/payments/{path if path == 'settings' else f'automations/{callback}'}", server.boss)
    field = page.locator("#f-prompt" if path == "automations" else ".settings [inputmode=numeric]").first
    page.wait_for_load_state("load")
    field.fill("17")
    watching = page.context.new_page()  # a live page in the same browser: when it has looked, this one could have too
    watching.goto(f"{server.url}/w/payments/runs")
    count_looks(watching)
    watching.bring_to_front()
    looked(watching, server)
    expect(field).to_have_value("17")
    expect(field).to_be_focused()


def test_a_run_page_keeps_open_folds_selection_and_place_when_the_run_ends(
    open_page: OpenPage, server: PagesEnvironment
) -> None:
    run = start(server)
    long = "\n".join(f"line {n}" for n in range(60))
    for seq in range(2, 8):
        entry(server, run, 2 * seq, "tool_call", callId=f"c{seq}", name="read_file", args="{}")
        entry(
            server, run, 2 * seq + 1, "tool_result", callId=f"c{seq}", result=long, success=True, durationMs=3, ran=True
        )
    page = open_live(open_page, server, f"runs/{run}")
    folds = page.locator("#timeline details.fold")
    expect(folds).to_have_count(6)
    folds.nth(1).locator("summary").click()
    page.locator("aside details summary").click()
    inside = folds.nth(1).locator("pre")
    inside.evaluate("e => { e.scrollTop = 25; getSelection().setBaseAndExtent(e.firstChild, 3, e.firstChild, 20) }")
    page.evaluate("() => scrollTo(0, 150)")
    words = page.evaluate("() => String(getSelection())")
    entry(server, run, 20, "note", text="something new")
    expect(page.locator("#timeline")).to_contain_text("something new")
    end(server, run)
    expect(page.locator(".pill")).to_contain_text("Succeeded")
    expect(page.locator("#live")).to_have_count(0)
    assert folds.nth(1).evaluate("e => e.open")
    assert page.locator("aside details").evaluate("e => e.open")
    assert inside.evaluate("e => e.scrollTop") == 25
    assert page.evaluate("() => String(getSelection())") == words
    assert page.evaluate("() => scrollY") == 150
    expect(page.locator("[data-run=head] .btn.danger")).to_have_count(0)


def ending(server: PagesEnvironment, run: str, ended: list[str]) -> Callable[[Route], None]:
    """End a run when the page asks for its stream, before the server gets to know of it."""

    def on_stream(route: Route) -> None:
        if not ended:
            end(server, run)
            ended.append(run)
        route.continue_()

    return on_stream


def test_a_run_that_ends_before_the_page_listens_is_not_shown_as_running(
    open_page: OpenPage, server: PagesEnvironment
) -> None:
    """The run ends between the rendering of the page and its subscription."""
    for path in ("runs", "tasks/" + task_of(server, 10)):
        run = start(server, task_of(server, 10))
        page = open_page(server, "/sign-in", server.boss)
        ended: list[str] = []
        page.context.route("**/live?*", ending(server, run, ended))
        page.add_init_script("delete globalThis.SharedWorker")  # a page's own stream, which the test can hold back
        page.goto(f"{server.url}/w/payments/{path}")
        row = page.locator(".row").filter(has=page.locator(f"[href$='{run}']"))
        expect(row).to_contain_text("Succeeded")
        assert ended


def test_a_page_that_was_hidden_or_cut_off_looks_again(open_page: OpenPage, server: PagesEnvironment) -> None:
    run = start(server)
    page = open_live(open_page, server, "runs")
    row = page.locator(".rows .row").filter(has=page.locator(f"[href$='{run}']"))
    expect(row).to_contain_text("live ")
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { configurable: true, value: true });"
        " document.dispatchEvent(new Event('visibilitychange')) }"
    )
    end(server, run)
    before = page.evaluate(LOOKED)
    page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')) }")
    page.wait_for_function(f"() => window.looked > {before}")
    expect(row).to_contain_text("Succeeded")


def test_what_is_asked_first_can_still_be_sent_after_an_update(open_page: OpenPage, server: PagesEnvironment) -> None:
    """The checkbox that stands for the question where scripts are off must not become a field of the page."""
    task = task_of(server, 12)
    page = open_live(open_page, server, f"tasks/{task}")
    looked(page, server, task)
    assert page.locator("noscript *").count() == 0
    page.locator("[popovertarget=task-menu]").click()
    page.locator("#task-menu .danger").click()
    expect(page.locator("dialog[open]")).to_contain_text("Delete task-")


def delete_task(server: PagesEnvironment, task: str) -> None:
    """Delete a task behind the pages and signal that something has changed."""

    def write(conn: Connection) -> None:
        conn.execute(tasks.delete().where(tasks.c.workspace_id == "payments", tasks.c.task_id == task))
        announce(conn, "runs:payments", "events:payments")

    server.services.database.write_sync(write)


def test_a_comment_stays_when_its_task_is_deleted(open_page: OpenPage, server: PagesEnvironment) -> None:
    task = task_of(server, 13)
    page = open_live(open_page, server, f"tasks/{task}")
    page.locator("#f-content").click()
    page.keyboard.type("not lost")
    with page.expect_response(lambda answer: answer.status == 404):
        delete_task(server, task)
    page.keyboard.type(", still here")
    expect(page.locator("#f-content")).to_have_value("not lost, still here")
    expect(page.locator("#f-content")).to_be_focused()


def test_typing_goes_on_while_three_runs_start_a_second(open_page: OpenPage, server: PagesEnvironment) -> None:
    task = task_of(server, 14)
    page = open_live(open_page, server, f"tasks/{task}")
    page.locator("#f-content").click()
    text = "every key arrives, in its order. " * 6
    made = []
    for index, letter in enumerate(text):
        if index % 10 == 0:
            made.append(start(server, task))
        page.keyboard.type(letter, delay=30)
    expect(page.locator("#f-content")).to_have_value(text)
    expect(page.locator(f"#runs [href$='{made[-1]}']")).to_be_visible()
    for run in made:
        end(server, run)


def test_an_open_dialog_outlives_a_row_behind_it(open_page: OpenPage, server: PagesEnvironment) -> None:
    """What is typed in a dialog stays although the list behind it changes, and the list becomes true."""
    gone = task_of(server, 15)
    page = open_live(open_page, server, "tasks")
    link = page.locator(f".ticket [href$='/{gone}']")
    expect(link).to_have_count(1)
    page.locator("[data-dialog=new-task]").first.click()
    page.locator("#new-task [name=title]").fill("in the middle")
    delete_task(server, gone)
    expect(link).to_have_count(0)
    expect(page.locator("#new-task [name=title]")).to_have_value("in the middle")
    expect(page.locator("#new-task [name=title]")).to_be_focused()


def test_a_long_run_page_stays_where_its_reader_is(open_page: OpenPage, server: PagesEnvironment) -> None:
    run = start(server)
    for seq in range(2, 302):
        entry(server, run, seq, "note", text=f"note {seq}")
    page = open_live(open_page, server, f"runs/{run}")
    page.locator("#timeline > li", has_text="note 150").evaluate("e => scrollTo(0, e.offsetTop)")
    place = page.evaluate("() => scrollY")
    assert place > 1000
    entry(server, run, 400, "note", text="the newest")
    expect(page.locator("#timeline")).to_contain_text("the newest")
    end(server, run)
    expect(page.locator("#live")).to_have_count(0)
    assert abs(page.evaluate("() => scrollY") - place) < 2
