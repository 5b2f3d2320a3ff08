"""The callback editor in a real browser: completion, undo, composition, wrapping, squiggles, large pastes, preview."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.pages.conftest import OpenPage
from tests.pages.environment import PagesEnvironment


def editor(open_page: OpenPage, server: PagesEnvironment, language: str = "en") -> Page:
    workspace = "payments" if language == "en" else "zhifu"
    callback = server.samples[workspace].callback_ids[0]
    page = open_page(server, f"/w/{workspace}/automations/{callback}", server.boss, language=language)
    expect(page.locator("#editor [data-messages-of=condition] .message")).to_be_visible()
    return page


def test_typing_two_braces_offers_the_variables(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = editor(open_page, server)
    prompt = page.locator("#f-prompt")
    prompt.fill("Look at ")
    prompt.press("End")
    prompt.press_sequentially("{{taskT")
    options = page.locator("code-editor [role=option]")
    expect(options).to_have_text(["taskType", "taskTitle"])
    assert prompt.get_attribute("aria-activedescendant")
    prompt.press("ArrowDown")
    prompt.press("Enter")
    expect(prompt).to_have_value("Look at {{taskTitle}}")
    expect(options).to_have_count(0)
    # What was completed can be taken back like anything else that was typed.
    for _ in range(8):
        prompt.press("Control+z")
    expect(prompt).not_to_have_value("Look at {{taskTitle}}")
    for _ in range(8):
        prompt.press("Control+Shift+z")
    expect(prompt).to_have_value("Look at {{taskTitle}}")


def test_escape_closes_the_list_and_a_condition_completes_too(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = editor(open_page, server)
    condition = page.locator("#f-condition")
    condition.fill("")
    condition.press_sequentially("ctx.taskSt")
    expect(page.locator("code-editor [role=option]")).to_have_text(["taskStatus"])
    condition.press("Escape")
    expect(page.locator("code-editor [role=option]")).to_have_count(0)
    condition.press_sequentially("a")
    condition.press("Tab")
    expect(condition).to_have_value("ctx.taskStatus")


def test_while_text_is_composed_the_textareas_own_is_shown(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = editor(open_page, server, "zh-CN")
    prompt = page.locator("#f-prompt")
    prompt.focus()
    prompt.dispatch_event("compositionstart")
    shown = "e => [getComputedStyle(e).webkitTextFillColor, getComputedStyle(e.previousElementSibling).visibility]"
    colour, copy = prompt.evaluate(shown)
    assert colour != "rgba(0, 0, 0, 0)"
    assert copy == "hidden"
    prompt.dispatch_event("compositionend")
    assert prompt.evaluate(shown) == ["rgba(0, 0, 0, 0)", "visible"]


def test_the_copy_lies_exactly_under_the_text(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = editor(open_page, server)
    prompt = page.locator("#f-prompt")
    prompt.fill("一个很长的段落 " * 30 + "{{taskTitle}} and much more text that has to wrap " * 6 + "\nlast")
    sizes = prompt.evaluate(
        "e => [e.scrollHeight, e.previousElementSibling.scrollHeight,"
        " e.clientWidth, e.previousElementSibling.clientWidth]"
    )
    assert abs(sizes[0] - sizes[1]) <= 1
    assert sizes[2] == sizes[3]
    numbers = page.locator("code-editor[mode=prompt] .gutter").inner_text().split()
    assert numbers == ["1", "2"]


def test_the_squiggle_stands_under_the_right_column(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = editor(open_page, server)
    condition = page.locator("#f-condition")
    condition.fill("ctx.taskTitle.includes('😀') && = 2")
    mark = page.locator("code-editor[mode=js] .bad")
    expect(mark).to_have_text("=")
    expect(page.locator("[data-messages-of=condition] .message.err")).to_contain_text("line 1, column")
    condition.fill("ctx.taskStatus ===")
    expect(page.locator("code-editor[mode=js] .bad")).to_have_count(1)
    page.locator("#f-prompt").fill("a\nb {{nobody}}")
    expect(page.locator("code-editor[mode=prompt] .bad")).to_have_text("{{nobody}}")
    expect(page.locator("[data-messages-of=prompt]")).to_contain_text("line 2, column 3")


def test_a_large_paste_stays_usable(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = editor(open_page, server)
    prompt = page.locator("#f-prompt")
    took = prompt.evaluate(
        "e => { const begun = performance.now(); e.focus(); e.select();"
        " document.execCommand('insertText', false, 'word {{taskId}} '.repeat(2000));"
        " return performance.now() - begun }"
    )
    assert took < 3000
    assert len(prompt.input_value()) == 32_000
    expect(page.locator("code-editor[mode=prompt] .var").first).to_have_text("{{taskId}}")


def test_the_preview_follows_what_is_written(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = editor(open_page, server)
    panel = page.locator("[data-panel]")
    expect(panel).to_contain_text("Would run")
    page.locator("#f-condition").fill("ctx.taskStatus === 'never'")
    expect(panel).to_contain_text("matched 0 of the last 50")
    expect(panel).to_contain_text("50 before the change")
    expect(panel).to_contain_text("Would not run")
    page.locator("#f-prompt").fill("Number {{taskId}}, {{ changes }}.")
    expect(panel.locator(".rendered .put").first).to_contain_text("task-")
    page.locator("select[name=fence]").select_option("always")
    page.locator("#f-prompt").fill("Title {{taskTitle}}")
    expect(panel.locator(".rendered .fence")).to_contain_text("Untrusted data taskTitle")
    # [ goes to the event before.
    first = page.locator("input[name=preview]").input_value()
    page.locator("h1").click()
    page.keyboard.press("[")
    expect(page.locator("input[name=preview]")).not_to_have_value(first)
    expect(page.locator(".title [data-unsaved]")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.goto(server.url + "/w/payments/tasks")


def test_without_scripts_the_form_shows_mistakes_and_saves(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = open_page(server, "/w/payments/automations/new", server.boss, java_script_enabled=False)
    page.fill("#f-name", "Without scripts")
    page.locator(".event-picker summary").click()
    page.locator("input[name=events][value='task.created']").check(force=True)
    page.fill("#f-prompt", "Look at {{taskTitel}}")
    page.fill("#f-condition", "ctx.taskType ==")
    page.locator("button[value=save]").click()
    expect(page.locator(".message.err")).to_have_count(2)
    expect(page.locator("#f-prompt")).to_have_value("Look at {{taskTitel}}")
    page.fill("#f-prompt", "Look at {{taskTitle}}")
    page.fill("#f-condition", "ctx.taskType === 'bug'")
    page.locator("button[value=save]").click()
    expect(page.locator("h1")).to_have_text("Without scripts")
    page.fill("#f-name", "Without any scripts")
    page.locator("button[value=save]").click()
    page.locator(".tabs a", has_text="Versions").click()
    expect(page.locator(".side-list .row")).to_have_count(2)
    page.locator(".side-list a", has_text="version 1").click()
    page.locator("button", has_text="Back to version 1").click()
    expect(page.locator("h1")).to_have_text("Without scripts")
