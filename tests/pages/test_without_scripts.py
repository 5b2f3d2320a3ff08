"""With JavaScript off every page can be read and the main forms work, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import OpenPage, every_path
from tests.pages.environment import PagesEnvironment


@pytest.fixture
def plain(open_page: OpenPage, server: PagesEnvironment) -> Page:
    """A browser without scripts, in which an administrator is signed in."""
    return open_page(server, "/w/payments/tasks", server.boss, java_script_enabled=False)


@pytest.mark.timeout(300)
def test_every_page_is_readable(plain: Page, server: PagesEnvironment) -> None:
    for path in every_path(server.samples["payments"]):
        answer = plain.goto(server.url + path)
        assert answer is not None
        assert answer.ok, path
        assert plain.locator("main").inner_text().strip(), path
        # What only scripts can do is not offered.
        assert plain.locator("[data-copy]:visible").count() == 0, path


def test_a_task_is_made_changed_talked_about_and_deleted(plain: Page, server: PagesEnvironment) -> None:
    plain.locator(".acts .btn.main").click()
    plain.locator("#new-task [name=title]").fill("Made without scripts")
    plain.locator("#new-task .btn.main").click()
    expect(plain.locator("h1")).to_have_text("Made without scripts")
    expect(plain.locator(".strip.ok")).to_be_visible()
    plain.locator("aside [name=status]").select_option("blocked")
    plain.locator("aside form button").click()
    expect(plain.locator("aside [name=status]")).to_have_value("blocked")
    plain.locator("textarea[name=content]").fill("A comment")
    plain.locator("form:has([name=content]) button").click()
    expect(plain.locator(".talk")).to_contain_text("A comment")
    plain.locator(".acts a.btn", has_text="Edit").click()
    plain.locator("#edit-task [name=title]").fill("Another title")
    plain.locator("#edit-task .btn.main").click()
    expect(plain.locator("h1")).to_have_text("Another title")
    # What cannot be undone is asked for by a box that must be ticked.
    plain.locator("[popovertarget=task-menu]").click()
    plain.locator("#task-menu .danger").click()
    expect(plain.locator("h1")).to_have_text("Another title")
    plain.locator("#task-menu [type=checkbox]").check()
    plain.locator("#task-menu .danger").click()
    expect(plain).to_have_url(server.url + "/w/payments/tasks?done=task_deleted")


def test_lists_are_filtered_and_turned_over(plain: Page, server: PagesEnvironment) -> None:
    plain.goto(f"{server.url}/w/payments/runs")
    plain.locator("[name=status]").select_option("skipped")
    plain.locator(".bar button").click()
    expect(plain).to_have_url(re.compile("/w/payments/runs[?].*status=skipped"))
    expect(plain.locator(".rows .row")).not_to_have_count(0)
    plain.goto(f"{server.url}/w/payments/events")
    first = plain.locator(".rows .row .open").first.get_attribute("href")
    assert first
    plain.locator("[data-more] a").click()
    expect(plain.locator(".rows .row .open").first).not_to_have_attribute("href", first)
    expect(plain.locator(".rows .row")).to_have_count(50)


def test_an_automation_is_switched(plain: Page, server: PagesEnvironment) -> None:
    plain.goto(f"{server.url}/w/payments/automations")
    switch = plain.locator(".rows .row", has_text="Quota alarm").locator(".switch")
    expect(switch).to_have_attribute("aria-checked", "true")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")


def test_an_event_is_replayed_and_a_setting_changed(plain: Page, server: PagesEnvironment) -> None:
    plain.goto(f"{server.url}/w/payments/events/{server.samples['payments'].event_rows[-3]['id']}")
    plain.locator("[popovertarget=replay]").click()
    plain.locator("#replay button").first.click()
    expect(plain.locator(".strip.ok")).to_be_visible()
    plain.goto(f"{server.url}/w/payments/settings")
    plain.locator("[name='runs.maxAttempts']").fill("nine")
    plain.locator(".sticky-foot button").click()
    expect(plain.locator(".message.err")).to_have_count(1)
    plain.locator("[name='runs.maxAttempts']").fill("4")
    plain.locator(".sticky-foot button").click()
    expect(plain.locator(".strip.ok")).to_be_visible()
    expect(plain.locator("[name='runs.maxAttempts']")).to_have_value("4")
    plain.locator("[name='runs.maxAttempts']").fill("")
    plain.locator(".sticky-foot button").click()
    expect(plain.locator("[name='runs.maxAttempts']")).to_have_value("3")


def test_language_and_theme_are_switched(open_page: OpenPage, server: PagesEnvironment) -> None:
    page = open_page(server, "/sign-in", java_script_enabled=False)
    page.locator("button[name=language]").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.locator("button[name=theme]").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_an_agent_profile_is_made(plain: Page, server: PagesEnvironment) -> None:
    plain.goto(f"{server.url}/w/payments/settings/agents")
    plain.locator(".acts .btn.main").click()
    plain.locator("#profile [name=name]").fill("without-scripts")
    plain.locator("#profile .btn.main").click()
    expect(plain.locator(".profiles-list")).to_contain_text("without-scripts")


def test_signing_in_and_out(open_page: OpenPage, server: PagesEnvironment) -> None:
    boss = server.call(server.services.accounts.first_start())[0]
    link = server.call(server.services.accounts.login_link(boss.id))
    page = open_page(server, f"/login/{link}", java_script_enabled=False)
    page.locator(".door .btn.main").click()
    expect(page.locator(".nav")).to_be_visible()
    page.locator(".me a").click()
    page.locator("form[action='/sign-out'] button").click()
    expect(page.locator("[name=password]")).to_be_visible()
