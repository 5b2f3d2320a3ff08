"""hooks.toml: what is read, what is refused with which words at which line, and that no gate is lost in silence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.hooks.config.hooks_file import FileState
from hookyard.hooks.config.toml_lines import table_lines
from hookyard.hooks.points import Point
from hookyard.hooks.webhook import InvalidFailClosedHook, Mode, OnFailure, Webhook
from tests.hooks.receiver import Home, entry

URL = "http://127.0.0.1:9/x"


def complaints(home: Home) -> list[str]:
    prefix = f"{home.path}/"
    return [str(problem).removeprefix(prefix) for problem in home.hooks().configuration.problems]


async def test_the_seed_s_complete_example_loads(home: Home, shared: Path) -> None:
    seed = (shared / "seeds" / "webhook-hook-guide.zh.txt").read_text(encoding="utf-8")
    example = seed[seed.index("# Slack 工具调用通知") : seed.index("相关文档")]
    home.write(example)
    webhooks = {webhook.name: webhook for webhook in home.hooks().configuration.webhooks}
    assert list(webhooks) == ["slack-tools", "dingtalk-turns", "wechat-session", "audit-log"]
    assert [webhook.format for webhook in webhooks.values()] == ["slack", "dingtalk", "wecom", "hookyard"]
    assert webhooks["audit-log"].headers == (("Authorization", "Bearer AUDIT_TOKEN"),)
    assert webhooks["audit-log"].retries == 3
    assert webhooks["slack-tools"].points == {Point.POST_TOOL}
    assert home.lines == []


async def test_every_key_and_its_default(home: Home) -> None:
    home.write(f'[[webhooks]]\nname = "a"\ntrigger = "error"\nurl = "{URL}"\n')
    (plain,) = home.hooks().configuration.webhooks
    assert (plain.method, plain.timeout_secs, plain.retries, plain.format) == ("POST", 10.0, 2, "hookyard")
    assert (plain.on_failure, plain.mode, plain.priority) == (OnFailure.ALLOW, Mode.WAIT, 0)
    assert (plain.deadline_secs, plain.matcher, plain.secrets, plain.redact) == (None, None, (), ())
    home.environ["TOKEN"] = "t0ken"
    home.write(
        f"""
        [[webhooks]]
        name = "b"
        description = "all of it"
        trigger = "PRE_TOOL"
        url = "{URL}/${{TOKEN}}"
        method = "put"
        headers = {{ Authorization = "Bearer ${{TOKEN}}" }}
        timeout_secs = 2.5
        retries = 0
        enabled = true
        deadline_secs = 7
        matcher = "bash|edit_*"
        format = "hookyard"
        secret = ["${{TOKEN}}", "old"]
        on_failure = "deny"
        mode = "wait"
        redact = ["sk-[a-z]+"]
        priority = -5
        """
    )
    (full,) = home.hooks().configuration.webhooks
    assert full.url == f"{URL}/t0ken"
    assert (full.method, full.timeout_secs, full.retries, full.deadline_secs) == ("PUT", 2.5, 0, 7.0)
    assert full.headers == (("Authorization", "Bearer t0ken"),)
    assert full.secrets == ("t0ken", "old")
    assert full.fails_closed
    assert (full.priority, full.matcher, full.redact) == (-5, "bash|edit_*", ("sk-[a-z]+",))
    assert "t0ken" not in repr(full)


CASES = [
    ('timeout_secs = "ten"', "timeout_secs: must be a number of seconds, not a text"),
    ("timeout_secs = 0", "timeout_secs: must be above 0 and at most 3600 seconds"),
    ("timeout_secs = nan", "timeout_secs: must be above 0 and at most 3600 seconds"),
    ("retries = true", "retries: must be a whole number, not true or false"),
    ("retries = -1", "retries: must be from 0 to 100"),
    ('enabled = "yes"', "enabled: must be true or false without quotes, not a text"),
    ('method = "GET"', "method: 'GET' is not known; give one of POST, PUT, PATCH"),
    ('format = "slak"', "format: 'slak' is not known; did you mean 'slack'?"),
    ('mode = "backgrund"', "mode: 'backgrund' is not known; did you mean 'background'?"),
    ("timeout = 10", "timeout: unknown key 'timeout'; did you mean 'timeout_secs'?"),
    ("Retries = 3", "Retries: unknown key 'Retries'; did you mean 'retries'?"),
    ("batch_size = 5", "batch_size: unknown key 'batch_size'"),
    ("headers = 3", "headers: must be a table, not a number"),
    ('headers = { "a b" = "c" }', "headers.a b: is not a header name"),
    ('headers = { X = "a\\nb" }', "headers.X: contains a line break or control character"),
    ("headers = { X = 1 }", "headers.X: must be a text in quotes, not a number"),
    ('headers = { Content-Length = "1" }', "headers.Content-Length: is set by the HTTP client; remove it"),
    ('headers = { X = "${NOT_SET}" }', "headers.X: the environment variable NOT_SET is not set"),
    ('secret = "${MY-TOKEN}"', "secret: what follows ${ is not a variable; write ${NAME} with letters, digits and _"),
    (
        'headers = { X = "Bearer ${TOKEN" }',
        "headers.X: what follows ${ is not a variable; write ${NAME} with letters, digits and _",
    ),
    ('"a\\u001b[2Jb" = 1', "a[2Jb: unknown key 'a\\x1b[2Jb'"),
    ('matcher = "bash||x"', "matcher: has an empty pattern; give tool-name globs separated by |"),
    ('secret = ""', "secret: must be a text or a list of texts, none of them empty"),
    ('secret = "whsec_!!"', "secret: what follows whsec_ is not base64"),
    ('redact = ["("]', "redact: '(' is not a pattern: missing ): ("),
    ("redact = 3", "redact: must be a list of patterns, none of them empty"),
    ("priority = 1.5", "priority: must be a whole number, not one with a fraction"),
    ('on_failure = "dney"', "on_failure: 'dney' is not known; did you mean 'deny'?"),
    ("description = 2020-01-01", "description: must be a text in quotes, not a date or time"),
]


@pytest.mark.parametrize(("line", "complaint"), CASES, ids=[line for line, _ in CASES])
async def test_a_bad_value_is_told_with_file_line_hook_and_key(home: Home, line: str, complaint: str) -> None:
    home.write(entry("good", "error", URL) + "\n# a comment\n" + entry("bad", "error", URL) + f"\n{line}\n")
    hooks = home.hooks()
    assert [webhook.name for webhook in hooks.configuration.webhooks] == ["good"]
    assert [str(p).removeprefix(f"{home.path}/") for p in hooks.configuration.problems] == [
        f"hooks.toml:12: bad: {complaint}"
    ]
    assert home.lines == [f"[Hook Warning] {home.path}/hooks.toml:12: bad: {complaint}"]


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://x/y", "must begin with https:// or http://"),
        ("hooks.slack.com/x", "must begin with https:// or http://"),
        ("https://", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://a:99999/x", "is not a URL"),
        ("http://a b/", "is not a URL"),
    ],
)
async def test_a_bad_url(home: Home, url: str, complaint: str) -> None:
    home.write(entry("bad", "error", url))
    assert complaints(home) == [f"hooks.toml:4: bad: url: {complaint}"]


async def test_credentials_are_given_once(home: Home) -> None:
    home.write(
        entry("bad", "error", "https://ada:pw@example.com/") + '[webhooks.headers]\nAuthorization = "Bearer x"\n'
    )
    assert complaints(home) == [
        "hooks.toml:6: bad: headers.Authorization: the url has a user name and password already; give one of the two"
    ]


async def test_a_missing_key_points_at_the_entry(home: Home) -> None:
    home.write('\n[[webhooks]]\nname = "a"\n\n[[webhooks]]\ntrigger = "error"\nurl = "http://127.0.0.1/"\n')
    assert complaints(home) == [
        "hooks.toml:2: a: trigger: 'trigger' is required",
        "hooks.toml:2: a: url: 'url' is required",
        "hooks.toml:5: webhooks #2: name: 'name' is required",
    ]


async def test_a_word_that_matches_nothing_is_warned_of(home: Home) -> None:
    home.write(entry("a", "pretool, error", URL))
    assert complaints(home) == ["hooks.toml:3: a: trigger: 'pretool' matches no event; did you mean 'pre_tool'?"]
    assert home.hooks().configuration.webhooks[0].points == {Point.ERROR}


async def test_plain_http_is_warned_of_except_on_loopback(home: Home) -> None:
    home.write(
        "".join(
            entry(f"n{i}", "error", url)
            for i, url in enumerate(
                [
                    "http://127.0.0.1:1/",
                    "http://localhost:1/",
                    "http://[::1]:1/",
                    "https://example.com/",
                    "http://example.com/",
                ]
            )
        )
    )
    (complaint,) = complaints(home)
    assert complaint.startswith("hooks.toml:20: n4: url: plain http:// to another machine")


async def test_a_name_used_twice(home: Home) -> None:
    home.write(entry("a", "error", URL) + entry("a", "pre_tool", URL) + entry("b", "error", URL))
    assert complaints(home) == ["hooks.toml:6: a: name: the name 'a' is already used in line 1"]
    assert [(w.name, w.trigger) for w in home.hooks().configuration.webhooks] == [("a", "error"), ("b", "error")]


async def test_a_misspelt_table_is_no_silence(home: Home) -> None:
    home.write('[[webhook]]\nname = "a"\ntrigger = "pre_tool"\non_failure = "deny"\n[[hooks]]\ncommand = "x"\n')
    assert complaints(home)[0] == "hooks.toml:1: a: unknown table [[webhook]]; did you mean [[webhooks]]?"
    assert home.hooks().fail_closed("pre_tool")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[webhooks.gate]\n{}", "hooks.toml: a: webhooks are given as tables under [[webhooks]]"),
        ("[[hooks.webhooks]]\n{}", "hooks.toml: a: unknown table [[hooks.webhooks]]; did you mean [[webhooks]]?"),
        ("[[hooks]]\n{}", "hooks.toml:1: a: unknown table [[hooks]]; did you mean [[webhooks]]?"),
        (
            "# a gate [[webhooks]]\n{}",
            "hooks.toml: a: the keys of a webhook stand in no table; write [[webhooks]] above them",
        ),
    ],
)
async def test_a_gate_in_the_wrong_kind_of_table_denies(home: Home, text: str, complaint: str) -> None:
    home.write(text.format(f'name = "a"\ntrigger = "pre_tool"\nurl = "{URL}"\non_failure = "deny"\n'))
    assert complaints(home) == [complaint]
    assert (await home.hooks().fire("pre_tool", tool_name="x")).denied


async def test_a_key_below_the_headers_is_told_of(home: Home) -> None:
    home.write(entry("a", "pre_tool", URL) + '[webhooks.headers]\nX = "1"\non_failure = "deny"\n')
    assert complaints(home) == [
        "hooks.toml:7: a: headers.on_failure: is a key of the webhook; move it above the headers"
    ]
    assert (await home.hooks().fire("pre_tool", tool_name="x")).denied
    home.write(entry("a", "pre_tool", URL) + '[webhooks.headers]\npriority = "1"\n')
    assert complaints(home) == [
        "hooks.toml:6: a: headers.priority: is sent as a header; a webhook's own keys stand above its headers"
    ]
    assert len(home.hooks().configuration.webhooks) == 1


@pytest.mark.parametrize("line", ["fail_closed = true", 'onFailure = "block"', 'on_fail = "closed"'])
async def test_a_slip_that_means_a_closed_gate_denies(home: Home, line: str) -> None:
    home.write(entry("a", "pre_tool", URL) + f"{line}\n")
    assert (await home.hooks().fire("pre_tool", tool_name="x")).denied


async def test_a_single_table_is_told_how(home: Home) -> None:
    home.write(f'[webhooks]\nname = "a"\ntrigger = "error"\nurl = "{URL}"\n')
    assert complaints(home) == ["hooks.toml: a: webhooks are given as tables under [[webhooks]]"]


class TestBatches:
    async def test_its_own_keys_and_every_event_without_a_trigger(self, home: Home) -> None:
        home.write(f'[[async_webhooks]]\nname = "a"\nurl = "{URL}"\nbatch_size = 50\nflush_interval_ms = 10\n')
        (webhook,) = home.hooks().configuration.webhooks
        assert webhook.batch is not None
        assert (webhook.batch.size, webhook.batch.flush_interval_ms) == (50, 10)
        assert webhook.points == frozenset(Point)
        assert not webhook.waits

    async def test_no_chat_format_and_no_gate(self, home: Home) -> None:
        home.write(
            '[[async_webhooks]]\nname = "a"\nurl = "https://hooks.slack.com/services/T/B/x"\n'
            f'[[async_webhooks]]\nname = "b"\nurl = "{URL}"\non_failure = "deny"\n'
        )
        assert complaints(home) == [
            "hooks.toml:3: a: url: a batch cannot be sent to a chat service; use [[webhooks]]",
            "hooks.toml:7: b: on_failure: a batch is sent later and cannot deny anything; use [[webhooks]]",
        ]
        assert home.hooks().fail_closed("pre_tool")


class TestNoGateIsLost:
    """Contract, section 1: an unusable entry or file never removes a gate in silence."""

    @pytest.mark.parametrize(
        "line",
        [
            'on_failure = "deny"\ntimeout_secs = "x"',
            'on_failure = "deny"\nsecret = "${NOT_SET}"',
            'on_failure = "deny"\nnonsense = 1',
            'on_failure = "deny"\nmode = "background"',
            'on_failure = "dney"',
            "on_failure = true",
            'on_falure = "deny"',
        ],
    )
    async def test_an_unusable_entry_denies_and_says_why(self, home: Home, line: str) -> None:
        home.write(entry("gate", "pre_tool", URL, matcher="bash") + line + "\n")
        hooks = home.hooks()
        (gate,) = hooks.configuration.gates
        assert isinstance(gate, InvalidFailClosedHook)
        decision = await hooks.fire("pre_tool", tool_name="bash", tool_args="{}")
        assert decision.denied
        assert f"{home.path}/hooks.toml" in decision.message
        assert not (await hooks.fire("pre_tool", tool_name="read_file", tool_args="{}")).denied
        assert not (await hooks.fire("message", content="hi")).denied
        assert not (await hooks.fire("post_tool", tool_name="bash")).denied

    async def test_without_a_readable_trigger_it_denies_wherever_it_could(self, home: Home) -> None:
        home.write(f'[[webhooks]]\nname = "gate"\nurl = "{URL}"\non_failure = "deny"\ntrigger = 5\n')
        hooks = home.hooks()
        for point in ("pre_tool", "tool_call_start", "message"):
            assert (await hooks.fire(point)).denied
        assert not (await hooks.fire("post_tool")).denied

    async def test_a_gate_that_would_never_be_asked_is_an_error(self, home: Home) -> None:
        home.write(entry("gate", "pretool", URL, on_failure="deny"))
        hooks = home.hooks()
        assert str(hooks.configuration.problems[-1]).endswith(
            "hooks.toml:3: gate: trigger: none of its words matches an event, so this gate would never be asked"
        )
        assert (await hooks.fire("pre_tool", tool_name="bash")).denied

    async def test_a_disabled_entry_is_no_gate(self, home: Home) -> None:
        home.write(entry("gate", "pre_tool", URL, enabled=False, on_failure="deny") + "nonsense = 1\n")
        hooks = home.hooks()
        assert hooks.configuration.gates == ()
        assert not (await hooks.fire("pre_tool")).denied

    async def test_an_unusable_override_takes_no_gate_away(self, home: Home) -> None:
        home.write(entry("gate", "pre_tool", URL, on_failure="deny"), "atomcode/hooks/hooks.toml")
        home.write(entry("gate", "pre_tool", URL, timeout_secs="x"))
        (gate,) = home.hooks().configuration.webhooks
        assert gate.fails_closed

    @pytest.mark.parametrize(
        "content",
        [b"[[webhooks]\n", b"\xff\xfe[\x00", "[[webhooks]]\nname = '\u5f00'\n".encode("gbk"), b"a = " + b"[" * 5000],
    )
    async def test_a_file_that_no_longer_parses_acts_in_its_last_good_version(self, home: Home, content: bytes) -> None:
        file = home.write(entry("gate", "pre_tool", URL))
        home.hooks()
        file.write_bytes(content)
        hooks = home.hooks()  # another process: what it knows comes from the disk
        assert [webhook.name for webhook in hooks.configuration.webhooks] == ["gate"]
        assert {f.state for f in hooks.configuration.files} == {FileState.ABSENT, FileState.LAST_GOOD}
        assert "last good version" in home.lines[-1]

    async def test_with_no_good_version_left_tool_calls_are_denied(self, home: Home) -> None:
        file = home.write(entry("gate", "pre_tool", URL, on_failure="deny"))
        home.hooks()
        for kept in (home.path / "state" / "hooks").iterdir():
            kept.write_text("lost")
        file.write_text("[[webhooks]\n")
        hooks = home.hooks()
        for point in ("pre_tool", "tool_call_start"):
            decision = await hooks.fire(point, tool_name="read_file")
            assert decision.denied
            assert f"{file}:1" in decision.message
        assert not (await hooks.fire("message", content="x")).denied

    async def test_a_file_that_never_was_good_denies_if_it_names_a_gate(self, home: Home) -> None:
        for meant in ('on_failure = "deny"', "on_failure = deny", 'on_failure. = "Deny"', "on_failure = }x"):
            home.write(f'[[webhooks]]\nname = "a"\n{meant}\n=\n')
            assert (await home.hooks().fire("pre_tool", tool_name="x")).denied
        for other in ("", 'on_failure = "allow"'):
            home.write(f'[[webhooks]\nname = "a"\n{other}\n')
            assert not (await home.hooks().fire("pre_tool", tool_name="x")).denied

    @pytest.mark.parametrize(
        "encoded",
        [
            lambda text: f"# 网关\n{text}".encode("gbk"),
            lambda text: text.encode("utf-16"),
            lambda text: text.encode() + b"#" * 1024 * 1024,
        ],
        ids=["GBK", "UTF-16", "too large"],
    )
    async def test_nor_does_one_that_no_one_can_read_lose_a_gate(
        self, home: Home, encoded: Callable[[str], bytes]
    ) -> None:
        file = home.path / "hooks.toml"
        file.write_bytes(encoded(entry("gate", "pre_tool", URL, on_failure="deny")))
        assert (await home.hooks().fire("pre_tool", tool_name="x")).denied
        file.write_bytes(encoded(entry("audit", "pre_tool", URL)))
        assert not (await home.hooks().fire("pre_tool", tool_name="x")).denied

    async def test_what_is_kept_is_the_user_s_alone(self, home: Home) -> None:
        home.write(entry("gate", "pre_tool", URL, on_failure="deny"))
        home.hooks()
        directory = home.path / "state" / "hooks"
        assert directory.stat().st_mode & 0o077 == 0
        assert [file.stat().st_mode & 0o077 for file in directory.iterdir()] == [0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("# 注释\nname = '开'\n".encode("gbk"), "hooks.toml:1: is not UTF-8 (byte 0xca); save it as UTF-8"),
        ("a = 1\n".encode("utf-16"), "hooks.toml:1: is not UTF-8 (byte 0xff); save it as UTF-8"),
        (b"a = 1\nb = \n", "hooks.toml:2: is not TOML: Invalid value"),
        (b"x" * (1024 * 1024 + 1), "hooks.toml: is larger than 1 MiB"),
        (b"a = " + b"[" * 20_000, "hooks.toml: is nested too deeply"),
        (b"[[webhooks]]\n" + b"a." * 20_000 + b"b = 1\n", "hooks.toml: is nested too deeply"),
        (b"[[webhooks]]\nheaders = " + b"[" * 30 + b"]" * 30, "hooks.toml: is nested too deeply"),
    ],
)
async def test_a_file_that_cannot_be_read_is_told_with_its_line(home: Home, content: bytes, complaint: str) -> None:
    (home.path / "hooks.toml").write_bytes(content)
    assert complaints(home) == [complaint]


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo, Path.mkdir])
async def test_what_is_no_file_is_not_read(home: Home, make: Callable[[Path], None]) -> None:
    make(home.path / "hooks.toml")
    assert complaints(home) == ["hooks.toml: is not a regular file"]


async def test_a_byte_order_mark_is_no_fault(home: Home) -> None:
    (home.path / "hooks.toml").write_bytes(entry("a", "error", URL).encode("utf-8-sig"))
    assert [webhook.name for webhook in home.hooks().configuration.webhooks] == ["a"]


class TestPrecedence:
    async def test_hookyard_s_file_overrides_same_named_hooks_of_atomcode_s(self, home: Home) -> None:
        home.write(entry("a", "error", URL) + entry("b", "error", URL), "atomcode/hooks/hooks.toml")
        home.write(entry("a", "pre_tool", URL) + entry("b", "error", URL, enabled=False) + entry("c", "error", URL))
        webhooks = home.hooks().configuration.webhooks
        assert [(webhook.name, webhook.trigger) for webhook in webhooks] == [("a", "pre_tool"), ("c", "error")]

    async def test_priority_then_file_then_line(self, home: Home) -> None:
        home.write(entry("1", "error", URL) + entry("2", "error", URL, priority=-1), "atomcode/hooks/hooks.toml")
        home.write(entry("3", "error", URL) + entry("4", "error", URL, priority=-1) + entry("5", "error", URL))
        assert "".join(webhook.name for webhook in home.hooks().configuration.webhooks) == "24135"

    async def test_a_file_of_the_server_and_a_workspace_s_entries(self, tmp_path: Path) -> None:
        from hookyard.hooks.hooks import Hooks, server_sender

        (tmp_path / "hooks.toml").write_text(entry("a", "error", URL))
        kept = [
            {"name": "w", "trigger": "pre_tool", "url": URL},
            {"name": "x", "trigger": "pre_tool", "url": "https://e.com/${HOOKYARD_SECRET_KEY}"},
        ]
        lines: list[str] = []
        hooks = Hooks.for_server(
            tmp_path,
            server_sender(tmp_path),
            webhooks=kept,
            workspace_id="ws_1",
            environ={"HOOKYARD_SECRET_KEY": "s"},
            warn=lines.append,
        )
        assert [webhook.name for webhook in hooks.configuration.webhooks] == ["a", "w"]
        assert lines == [
            "[Hook Warning] workspace ws_1: x: url: the environment variable HOOKYARD_SECRET_KEY is not set"
        ]


@given(
    st.lists(
        st.sampled_from(
            [
                "# a comment with [[webhooks]] in it",
                "",
                'name = "x"',
                'text = """\n[[webhooks]]\nname = 1\n"""',
                "list = [\n  1, # [[webhooks]]\n  2,\n]",
                "'quoted key' = '''\na = 1'''",
                "a.b.c = 1",
                "table = { x = 1, y = [1, 2] }",
                '"k\\"ey" = 1',
            ]
        ),
        max_size=8,
        unique=True,
    ),
    st.integers(1, 4),
)
def test_lines_are_those_of_the_statements(statements: list[str], tables: int) -> None:
    """Every key is placed at the line on which its statement begins, whatever stands between."""
    lines: list[str] = []
    expected: list[tuple[int, dict[str, int]]] = []
    for _ in range(tables):
        lines.append("[[webhooks]]")
        start, keys = len(lines), dict[str, int]()
        for statement in statements:
            first = len(lines) + 1
            lines.extend(statement.split("\n"))
            key = statement.partition("=")[0].strip().strip("'\"").replace('\\"', '"')
            if key and not key.startswith("#"):
                keys[key] = first
        expected.append((start, keys))
    found = table_lines("\n".join(lines)).get("webhooks", [])
    assert [table.line for table in found] == [line for line, _ in expected]
    for table, (_, keys) in zip(found, expected, strict=True):
        for key, line in keys.items():
            assert table.of(key) == line


def test_places_in_a_hostile_text_take_bounded_time() -> None:
    text = "[[webhooks]]\nx = [\n" + "1,\n" * 100_000 + "]\n"
    assert [table.line for table in table_lines(text)["webhooks"]] == [1]


async def test_a_webhook_of_the_configuration_never_shows_what_is_secret(home: Home) -> None:
    home.environ["T"] = "s3cretvalue"
    home.write(
        entry(
            "a", "error", "https://user:${T}@example.com/${T}?key=${T}", headers={"X": "${T}"}, secret="${T}"
        ).replace('{"X": "${T}"}', '{ X = "${T}" }')
    )
    hooks = home.hooks()
    (webhook,) = hooks.configuration.webhooks
    assert isinstance(webhook, Webhook)
    assert webhook.shown_url == "https://example.com/…"
    assert "s3cretvalue" not in repr(hooks.configuration) + json.dumps(home.lines)
