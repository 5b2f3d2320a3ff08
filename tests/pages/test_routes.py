"""The pages as an HTTP client sees them: who may see what, headers, forms, hostile input."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from starlette.routing import Mount, Route

from hookyard.hooks.points import POINTS
from hookyard.store import schema
from hookyard.web.pages.form import Form
from hookyard.web.pages.render import POLICY
from hookyard.web.pages.routes import routes
from hookyard.web.pages.runs import STEPS
from hookyard.web.pages.webhooks import given_of
from tests.pages.asking import ask, token
from tests.pages.conftest import every_path
from tests.pages.environment import PagesEnvironment

WEB = Path(__file__).resolve().parents[2] / "src" / "hookyard" / "web"
PATHS = [route for route in routes() if isinstance(route, Route)]
OPEN = {"/sign-in", "/login/{secret}", "/preferences", "/sign-out", "/live"}


def filled(server: PagesEnvironment, path: str, workspace: str = "payments") -> str:
    """A route's path with things that exist."""
    sample = server.samples[workspace]
    values = {
        "workspace": workspace, "task:path": sample.task_rows[5]["task_id"], "callback": sample.callback_ids[0],
        "run": sample.story["id"], "event": sample.event_rows[-3]["id"], "webhook": "security-gate",
        "section": "agents",
        "secret": "nothing",
    }  # fmt: skip
    return re.sub(r"\{([\w:]+)\}", lambda match: values[match.group(1)], path)


def test_every_page_is_there_for_the_administrator(server: PagesEnvironment) -> None:
    for sample in server.samples.values():
        for path in every_path(sample):
            assert ask(server, path, server.boss).status == 200, path


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stranger_sees_nothing_of_any_workspace(server: PagesEnvironment, method: str) -> None:
    ours = token(server, server.boss)
    for route in PATHS:
        if "{workspace}" not in route.path or method not in (route.methods or ()):
            continue
        path = filled(server, route.path)
        form = None if method == "GET" else {"csrf": ours, "do": "delete"}
        answer = ask(server, path, server.stranger, form)
        assert answer.status in (403, 404), (path, answer.status)
        for secret in ("Blocked-task triage", "security-gate", "Payment callback"):
            assert secret not in answer.text, path


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_sees_anything_without_a_session(server: PagesEnvironment, method: str) -> None:
    for route in PATHS:
        if route.path in OPEN or method not in (route.methods or ()):
            continue
        answer = ask(server, filled(server, route.path), "", None if method == "GET" else {"do": "delete"})
        if method == "GET":
            assert answer.status == 303
            assert answer.headers["location"].startswith("/sign-in")
        else:
            assert answer.status == 401, route.path


def test_things_of_another_workspace_are_not_found(server: PagesEnvironment) -> None:
    for route in PATHS:
        if route.path.count("{") < 2 or "webhook" in route.path or "section" in route.path:
            continue
        path = filled(server, route.path).replace("/w/payments/", "/w/zhifu/")
        if "GET" in (route.methods or ()) and "task" not in route.path:
            assert ask(server, path, server.boss).status == 404, path


def test_members_may_not_do_what_administrators_do(server: PagesEnvironment) -> None:
    for path in ("settings", "settings/tokens", "webhooks/new", "webhooks/security-gate/edit"):
        assert ask(server, f"/w/payments/{path}", server.member).status == 403
    mine = token(server, server.member)
    for path, do in (("webhooks/security-gate", "delete"), ("members", "remove"), ("settings/people", "create")):
        assert ask(server, f"/w/payments/{path}", server.member, {"csrf": mine, "do": do}).status == 403
    assert ask(server, "/workspaces", server.member, {"csrf": mine, "name": "Mine"}).status == 403


def test_a_form_without_its_token_changes_nothing(server: PagesEnvironment) -> None:
    for given in ({}, {"csrf": "x"}, {"csrf": token(server, server.member)}):
        answer = ask(server, "/w/payments/tasks", server.boss, {"title": "forged", **given})
        assert answer.status == 403
    good = {"csrf": token(server, server.boss), "title": "forged"}
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert ask(server, "/w/payments/tasks", server.boss, good, header).status == 403
    title = select(schema.tasks.c.id).where(schema.tasks.c.title == "forged")
    assert server.services.database.read_sync(lambda conn: conn.execute(title).all()) == []


def test_forms_are_bounded(server: PagesEnvironment) -> None:
    mine = token(server, server.boss)
    assert ask(server, "/w/payments/tasks", server.boss, {"csrf": mine, "title": "x" * 600_000}).status in (413, 422)
    many = {f"f{n}": "1" for n in range(600)}
    assert ask(server, "/w/payments/tasks", server.boss, {"csrf": mine, **many}).status == 422


def test_every_page_has_the_policy_and_nothing_inline(server: PagesEnvironment) -> None:
    for path in [*every_path(server.samples["payments"]), "/sign-in", "/w/payments/nothing-here"]:
        answer = ask(server, path, "" if path == "/sign-in" else server.boss)
        assert answer.headers["content-security-policy"] == POLICY, path
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<[^>]+\sstyle=", answer.text), path
        assert not re.search(r"<style|<script(?![^>]*\ssrc=)|<[^>]+\son\w+=|javascript:", answer.text), path
    assert "unsafe" not in POLICY


def test_every_button_inside_a_form_says_what_it_does(server: PagesEnvironment) -> None:
    """A button that is to open something must not send the form."""
    for path in every_path(server.samples["payments"]):
        for button in re.findall(r"<button[^>]*>", ask(server, path, server.boss).text):
            if re.search(r"popovertarget|data-dialog|data-copy|data-close|data-insert|data-preview", button):
                assert 'type="button"' in button, (path, button)


def test_colours_stand_in_the_tokens_only() -> None:
    colour = re.compile(r"#[0-9a-fA-F]{3,8}\b(?![\w-])|\brgba?\(|\bhsla?\(")
    for path in [*WEB.glob("static/*.css"), *WEB.glob("static/*.js"), *WEB.glob("templates/*.html")]:
        if path.name != "tokens.css":
            text = re.sub(r'href="[^"]*#|#e0|url\(#', "", path.read_text(encoding="utf-8"))
            assert not colour.findall(text), path.name


def test_static_files_may_be_kept_for_ever(server: PagesEnvironment) -> None:
    page = ask(server, "/sign-in").text
    found = re.findall(r'"(/static/\w+/[\w.-]+)"', page)
    assert len(found) >= 5
    for path in found:
        answer = ask(server, path)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    old = re.sub(r"/static/\w+/", "/static/000000000000/", found[0])
    assert ask(server, old).headers["cache-control"] == "no-store"
    assert ask(server, "/static/x/../../pages/visit.py").status == 404


def test_first_load_is_small(server: PagesEnvironment) -> None:
    for path in every_path(server.samples["payments"]):
        page = ask(server, path, server.boss)
        total = len(page.text.encode())
        names = set(re.findall(r'"(/static/\w+/[\w.-]+)"', page.text))
        if not names:
            continue  # what is downloaded
        base = next(iter(names)).rsplit("/", 1)[0]
        modules = {"texts.js", "live.js", "live-worker.js", "keys.js", "tips.js", "clock.js", "morph.js"}
        modules |= {"code-editor.js"} if "editor.js" in page.text else set()
        for name in names | {f"{base}/{module}" for module in modules}:
            # The size that travels: urllib does not unpack it.
            total += int(ask(server, name, headers={"Accept-Encoding": "gzip"}, raw=True).headers["content-length"])
        assert total <= 100_000, (path, total)


def test_the_modules_stay_small() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in WEB.glob("static/*.js"))
    assert lines <= 1000


def test_what_people_write_stays_text(server: PagesEnvironment) -> None:
    mine = token(server, server.boss)
    nasty = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
    made = ask(server, "/w/payments/tasks", server.boss, {"csrf": mine, "title": nasty, "labels": nasty})
    assert made.status == 303
    path = made.headers["location"].partition("?")[0]
    said = ask(server, path, server.boss, {"csrf": mine, "do": "comment", "content": nasty})
    assert said.status == 303
    for shown in (path, "/w/payments/tasks", "/w/payments/events", "/w/payments/tasks?view=list"):
        text = ask(server, shown, server.boss).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "{{7*7}}" in text
    ask(server, path, server.boss, {"csrf": mine, "do": "delete"})


@pytest.mark.parametrize(
    "query",
    [
        "view=list&after=nonsense",
        "view=list&after=1e999~x",
        "q=%25_%5C",
        "q=" + "x" * 5000,
        "status=%00",
        "after=%F0%9F",
    ],
)
def test_odd_addresses_are_answered(server: PagesEnvironment, query: str) -> None:
    for place in ("tasks", "runs", "events", "automations", "find"):
        assert ask(server, f"/w/payments/{place}?{query}", server.boss).status == 200


def test_an_unknown_page_is_a_page(server: PagesEnvironment) -> None:
    for path in ("/nothing", "/w/payments/nothing", "/w/nobody/tasks", "/w/payments/runs/run_nothing"):
        answer = ask(server, path, server.boss)
        assert answer.status == 404
        assert "There is no such page" in answer.text or "no such" in answer.text
    refused = ask(server, "/w/payments/runs", server.boss, {})
    assert refused.status == 405
    assert ">405<" in refused.text  # the page names the status that it is answered with
    assert "500" not in re.findall(r'class="dim mono">([^<]+)<', refused.text)


def test_every_route_of_the_pages_is_walked() -> None:
    assert {type(route) for route in routes()} == {Route, Mount}
    assert len(PATHS) > 30


def test_the_language_follows_the_browser_and_can_be_switched(server: PagesEnvironment) -> None:
    assert 'lang="zh-CN"' in ask(server, "/sign-in", headers={"Accept-Language": "zh-CN"}).text
    assert 'lang="en"' in ask(server, "/sign-in", headers={"Accept-Language": "de"}).text
    answer = ask(server, "/preferences", form={"language": "zh-CN", "back": "//evil.example"})
    assert answer.headers["location"] == "/"
    assert "hookyard_language=zh-CN" in answer.headers["set-cookie"]


def test_sign_in_says_nothing_of_which_was_wrong(server: PagesEnvironment) -> None:
    wrong = ask(server, "/sign-in", form={"login": "admin", "password": "x"})
    unknown = ask(server, "/sign-in", form={"login": "nobody", "password": "x"})
    assert wrong.status == unknown.status == 401
    assert wrong.text.replace("admin", "") == unknown.text.replace("nobody", "")


def test_a_login_link_is_used_up_by_its_button_only(server: PagesEnvironment) -> None:
    secret = server.call(server.services.accounts.login_link(server.call(server.services.accounts.first_start())[0].id))
    assert ask(server, f"/login/{secret}").status == 200
    entered = ask(server, f"/login/{secret}", form={})
    assert entered.status == 303
    assert "hookyard_session=" in entered.headers["set-cookie"]
    assert ask(server, f"/login/{secret}", form={}).status == 401


def test_a_long_timeline_comes_in_pieces(server: PagesEnvironment) -> None:
    run = server.samples["payments"].run_rows[3]["id"]
    rows = [
        {"run_id": run, "seq": seq, "attempt": 1, "at": 1.0, "kind": "note", "data": f'{{"text": "note {seq}."}}'}
        for seq in range(STEPS + 20)
    ]
    server.services.database.write_sync(lambda conn: conn.execute(schema.run_entries.insert(), rows))
    path = f"/w/payments/runs/{run}"
    newest = ask(server, path, server.boss).text
    assert newest.count("is-note") == STEPS
    assert "note 19." not in newest
    assert "20 earlier steps" in newest
    first = ask(server, f"{path}?upto=20", server.boss).text
    assert first.count("is-note") == 20
    assert "note 19." in first
    assert "The newest steps" in first
    assert ask(server, f"{path}?upto=-1&upto=x", server.boss).status == 200


def test_a_run_tells_what_worked_on_it(server: PagesEnvironment) -> None:
    run = server.samples["payments"].run_rows[5]["id"]
    path = f"/w/payments/runs/{run}"
    assert "<dt>Model</dt>" not in ask(server, path, server.boss).text, "nothing is known of it"
    known = {
        "agent_kind": "acp",
        "agent_version": "2.1.4",
        "model": "claude-sonnet-4-5",
        "folder": "/srv/<pay>",
    }
    row = {"run_id": run, "number": 2, "worker_id": "wrk_1", "started_at": 1.0, **known}
    server.services.database.write_sync(lambda conn: conn.execute(schema.attempts.insert(), row))
    page = ask(server, path, server.boss).text
    for shown in ("acp</span>", "2.1.4</span>", "<dd>claude-sonnet-4-5</dd>", "/srv/&lt;pay&gt;</dd>"):
        assert shown in page


def test_a_webhook_of_every_point_is_shown_and_saved_as_one(server: PagesEnvironment) -> None:
    def checked(name: str) -> list[str]:
        page = ask(server, f"/w/payments/webhooks/{name}/edit", server.boss)
        return re.findall(r'name="words" value="(\w+)" checked', page.text)

    assert len(checked("audit-log")) == len(POINTS)
    assert checked("security-gate") == ["pre_tool"]
    words = checked("audit-log")
    assert given_of(Form({"name": ["n"], "words": words}))["trigger"] == "*"
    assert given_of(Form({"name": ["n"], "words": words[:2]}))["trigger"] == ",".join(words[:2])


def test_a_webhooks_page_says_which_tools_it_covers(server: PagesEnvironment) -> None:
    path = "/w/payments/webhooks"
    ours = token(server, server.boss)
    form = {
        "csrf": ours,
        "name": "covering",
        "url": "https://hooks.example.com/x",
        "words": "pre_tool",
        "enabled": "on",
    }
    refused = ask(server, f"{path}/new", server.boss, {**form, "matcher": "bash,write_*"})
    assert refused.status == 422
    assert "use &#39;bash|write_*&#39;" in refused.text
    chinese = ask(server, f"{path}/new", server.boss, {**form, "matcher": "^Bash$"}, {"Accept-Language": "zh-CN"})
    assert "matcher 不是正则表达式；请用 &#39;Bash&#39;" in chinese.text
    assert ask(server, f"{path}/new", server.boss, {**form, "matcher": "bash|write_*"}).status == 303
    for page in (f"{path}/covering", f"{path}/covering/edit"):
        shown = re.sub(r"<[^>]+>", "", ask(server, page, server.boss).text.partition('id="covers"')[2])
        assert "built-in: write_file bash" in shown
        assert "claude-code: Bash Write" not in shown
        assert "claude-code: Bash" in shown
        assert "gemini: write_file write_todos" in shown
    assert ask(server, f"{path}/covering", server.boss, {"csrf": ours, "do": "delete"}).status == 303


def test_a_trial_that_no_run_would_send_is_not_sent(server: PagesEnvironment) -> None:
    path, ours = "/w/payments/webhooks", token(server, server.boss)
    form = {"csrf": ours, "name": "nowhere", "url": "https://hooks.example.com/x", "words": "pre_tool", "enabled": "on"}
    assert ask(server, f"{path}/new", server.boss, {**form, "matcher": "no_such_tool"}).status == 303
    tried = ask(server, f"{path}/nowhere", server.boss, {"csrf": ours, "do": "test"})
    assert tried.status == 409
    assert "the matcher fits no known tool" in tried.text
    assert ask(server, f"{path}/nowhere", server.boss, {"csrf": ours, "do": "delete"}).status == 303


def test_a_waiting_run_says_what_it_waits_for(server: PagesEnvironment) -> None:
    sample = server.samples["zhifu"]
    row = {**sample.run_rows[3], "id": "run_that_waits", "status": "queued", "reason": None, "started_at": None}
    server.app.services.database.write_sync(lambda conn: conn.execute(insert(schema.runs).values(row)).close())
    answer = ask(server, f"/w/zhifu/runs/{row['id']}", server.boss)
    assert answer.status == 200
    assert "waits: " in answer.text
