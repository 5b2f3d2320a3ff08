"""Every format builds what its service takes, at all twelve points, in both languages, whatever the agent says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookyard.hooks.formats import all_formats, for_url
from hookyard.hooks.formats.base import DeliveryVerdict, Target, retry_after_seconds
from hookyard.hooks.points import POINTS, Point
from tests.hooks.bodies import BODIES, FAILED_TOOL, hostile

SNAPSHOTS = Path(__file__).parent / "snapshots"
URL = "https://example.invalid/hook"
NOW = 1_768_467_600.0
CHATS = ("slack", "dingtalk", "wecom", "feishu", "discord", "teams")


def built(name: str, body: Mapping[str, Any], language: str = "en", **target: Any) -> Any:
    request = all_formats()[name].build(body, Target(URL, language=language, now=NOW, **target))
    return json.loads(request.body)


def strings(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def test_the_formats_of_the_contract_are_all_there() -> None:
    assert set(all_formats()) == {*CHATS, "cloudevents", "hookyard"}
    assert {name for name, made in all_formats().items() if made.chat} == set(CHATS)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", [*CHATS, "cloudevents", "hookyard"])
def test_messages_of_all_points_are_as_reviewed(name: str, language: str) -> None:
    """`HOOKYARD_WRITE_SNAPSHOTS=1` writes the files anew; the change is then reviewed like code."""
    messages = {POINTS[point].event: built(name, body, language) for point, body in BODIES.items()}
    messages["post_tool_execution (failed)"] = built(name, FAILED_TOOL, language)
    path = SNAPSHOTS / f"{name}.{language}.json"
    if os.environ.get("HOOKYARD_WRITE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(messages, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    assert messages == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("point", POINTS)
def test_a_message_says_who_does_what_and_where(name: str, point: Point) -> None:
    text = "\n".join(strings(built(name, BODIES[point])))
    plain = text.replace("\\", "")
    assert "Claude Code" in plain
    assert "/home/ada/shop" in plain
    assert "ses_42" in plain
    assert "team-channel" in plain


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://HOOKS.SLACK.COM./services/T0/B0/x", "slack"),
        ("https://hooks.slack.com:443/services/T0/B0/x", "slack"),
        ("https://hooks.slack-gov.com/services/T0/B0/x", "slack"),
        ("https://hooks.slack.com/triggers/T0/1/x", "hookyard"),
        ("https://oapi.dingtalk.com/robot/send?access_token=x", "dingtalk"),
        ("https://oapi.dingtalk.com/user/get?access_token=x", "hookyard"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x", "wecom"),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/x", "feishu"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/x", "feishu"),
        ("https://discord.com/api/webhooks/123/abc?thread_id=5", "discord"),
        ("https://ptb.discord.com/api/v10/webhooks/123/abc", "discord"),
        ("https://discord.com/api/webhooks/123/abc/slack", "hookyard"),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/a/triggers/manual/paths/invoke?sig=x", "teams"),
        (
            "https://d0.71.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/a/triggers/b/",
            "teams",
        ),
        ("https://corp.webhook.office.com/webhookb2/a/IncomingWebhook/b/c", "teams"),
        ("https://hooks.slack.com@evil.example/services/T0/B0/x", "hookyard"),
        ("https://evil.example/https://hooks.slack.com/services/x", "hookyard"),
        ("https://hooks.slack.com.evil.example/services/x", "hookyard"),
        ("https://evil.example#@hooks.slack.com/services/x", "hookyard"),
        ("https://evil.example\\@hooks.slack.com/services/x", "hookyard"),
        ("https://evil.example /@hooks.slack.com/services/x", "hookyard"),
        ("https://hooks.slack.com:99999/services/x", "hookyard"),
        ("https://[::1/services/x", "hookyard"),
        ("ftp://hooks.slack.com/services/x", "hookyard"),
        ("https://logic.azure.com.evil.example/workflows/a/triggers/b", "hookyard"),
        ("", "hookyard"),
        ("http://127.0.0.1:8000/slack", "hookyard"),
    ],
)
def test_auto_picks_the_service_of_a_known_address_and_of_no_other(url: str, name: str) -> None:
    assert for_url(url).name == name


# What each service would take for a mention, a link, an image or a colour, and may stand in no text of the message.
INJECTIONS = [
    "<!channel> <!here> <@U123> <https://evil.example|click>",
    "@everyone @here <@123> <@&9>",
    '<at id=all></at> <at user_id="all">x</at>',
    "[click](https://evil.example) ![x](https://evil.example/x.png) [a]: https://evil.example",
    "``` <!channel> ``` @everyone ```",
    '<font color="warning">deployed</font> <@all>',
]
FORBIDDEN = {
    "slack": re.compile(r"<[!@#hma]"),
    "dingtalk": re.compile(r"\]\(|!\[|@|<[a-z/@]"),
    "wecom": re.compile(r"\]\(|!\[|@|<(?!font color=\"info\">✅|/?font)"),
}


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("name", ["slack", "dingtalk", "wecom"])
def test_text_of_the_agent_is_no_markup(name: str, text: str) -> None:
    message = built(name, hostile(text))
    shown = [part for part in strings(message) if part not in ("mrkdwn", "plain_text")]
    if name == "slack":
        shown = [b["text"]["text"] for b in message["blocks"] if b["type"] == "section" and "text" in b]
        shown += [f["text"] for b in message["blocks"] for f in b.get("fields", [])] + [message["text"]]
    elif name == "dingtalk":
        shown = [message["markdown"]["text"]]  # the title is shown as it is
        assert message["at"] == {"atMobiles": [], "atUserIds": [], "isAtAll": False}
    else:
        # Our own two font tags are the only markup with an angle bracket.
        shown = [message["markdown"]["content"].replace('<font color="info">', "", 1).replace("</font>", "", 1)]
        assert not any("<" in part for part in shown)
    assert not [part for part in shown if FORBIDDEN[name].search(part)]


@pytest.mark.parametrize("text", INJECTIONS)
def test_code_blocks_cannot_be_left(text: str) -> None:
    for name in ("slack", "discord"):
        message = built(name, hostile(text))
        blocks = (
            [b["text"]["text"] for b in message["blocks"] if b["type"] == "section" and "text" in b]
            if name == "slack"
            else [message["embeds"][0]["description"]]
        )
        assert sum(part.count("```") for part in blocks) == 4  # two blocks, opened and closed once each


@pytest.mark.parametrize("text", INJECTIONS)
def test_services_with_plain_text_elements_get_the_text_only_there(text: str) -> None:
    for part in markup_of(built("feishu", hostile(text)), "lark_md"):
        assert part in ("**What it does**", "**Result**")
    card = built("teams", hostile(text))
    assert "entities" not in json.dumps(card)
    assert {e["type"] for e in card["attachments"][0]["content"]["body"]} == {"Container", "RichTextBlock"}
    assert built("discord", hostile(text))["allowed_mentions"] == {"parse": []}


def markup_of(value: object, tag: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        if value.get("tag") == tag:
            yield str(value["content"])
        for part in value.values():
            yield from markup_of(part, tag)
    elif isinstance(value, list):
        for part in value:
            yield from markup_of(part, tag)


AWKWARD = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        ["👩‍👩‍👧‍👦", "🇩🇪", "é", "`", "<", "&", "\\", "汉字", "\x00", "\u202e", "\ud800", "\n", "a"]
    ).flatmap(lambda piece: st.integers(1, 8000).map(lambda count: piece * count)),
)


@settings(max_examples=60, deadline=None)
@given(AWKWARD, st.sampled_from(["en", "zh-CN"]))
def test_every_limit_of_every_service_holds_for_any_text(text: str, language: str) -> None:
    body = hostile(text)
    slack = built("slack", body, language)
    assert len(slack["blocks"]) <= 50
    for block in slack["blocks"]:
        if block["type"] == "header":
            assert 0 < len(block["text"]["text"]) <= 150
        elif "fields" in block:
            assert len(block["fields"]) <= 10
            assert all(0 < len(field["text"]) <= 2000 for field in block["fields"])
        elif block["type"] == "section":
            assert 0 < len(block["text"]["text"]) <= 3000
    assert len(built("wecom", body, language)["markdown"]["content"].encode()) <= 4096
    for name, limit in (("dingtalk", 20_000), ("feishu", 20_000), ("teams", 28_000)):
        request = all_formats()[name].build(body, Target(URL, language=language, now=NOW, secrets=("s",)))
        assert len(request.body) <= limit
    embed = built("discord", body, language)["embeds"][0]
    texts = [embed["title"], embed["description"], embed["footer"]["text"]]
    texts += [part for field in embed["fields"] for part in (field["name"], field["value"])]
    assert sum(len(part.encode("utf-16-le")) // 2 for part in texts) <= 6000
    assert len(embed["title"].encode("utf-16-le")) // 2 <= 256
    assert all(field["name"] and field["value"] for field in embed["fields"])


@pytest.mark.parametrize("piece", ["😀", "🇩🇪", "👩‍👩‍👧‍👦", "汉字", "_[x](http://", "\n", "`\n"])
def test_limits_in_bytes_hold_when_every_fact_is_long(piece: str) -> None:
    text = piece * 400
    keys = ("tool_name", "tool_args", "working_dir", "session_id", "model_name", "provider_name", "phase", "error_type")
    body = {
        "event": "post_tool_execution",
        "agent": text,
        "hook_name": text,
        "context": {**dict.fromkeys(keys, text), "edited_files": [text] * 9, "turn_number": 10**50, "truncated": True},
        "result_context": {"result": text, "success": False},
        "cause": dict.fromkeys(("event", "callback", "run"), text),
    }
    for language in ("en", "zh-CN"):
        assert len(built("wecom", body, language)["markdown"]["content"].encode()) <= 4096
        assert len(built("dingtalk", body, language)["markdown"]["text"].encode()) <= 16_000


@pytest.mark.parametrize("name", [*CHATS, "cloudevents"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"event": None, "context": "text", "hook_context": [1], "result_context": 5, "agent": {"a": 1}},
        {"event": "post_tool_execution", "context": {"tool_args": {"deep": [1, {"x": None}]}, "tool_name": "t"}},
        {
            "event": "on_turn_complete",
            "context": {"edited_files": 3, "tool_calls": "many", "duration_ms": float("nan")},
        },
        {"event": "post_tool_execution", "context": {"tool_name": "t", "tool_args": "[" * 100_000}},
    ],
)
def test_a_malformed_body_still_makes_a_message(name: str, body: dict[str, Any]) -> None:
    assert built(name, body)


def test_dingtalk_signs_the_address_as_documented() -> None:
    secret = "SEC0"
    url = "https://oapi.dingtalk.com/robot/send?access_token=a%2Bb&timestamp=1&sign=old"
    target = Target(url, secrets=(secret, "older"), now=NOW)
    request = all_formats()["dingtalk"].build(BODIES[next(iter(BODIES))], target)
    query = parse_qs(urlsplit(request.url).query)
    digest = hmac.new(secret.encode(), f"1768467600000\n{secret}".encode(), hashlib.sha256).digest()
    assert query == {
        "access_token": ["a+b"],
        "timestamp": ["1768467600000"],
        "sign": [base64.b64encode(digest).decode()],
    }
    assert secret not in repr(request)
    assert secret not in repr(target)


def test_feishu_signs_the_body_as_documented() -> None:
    message = built("feishu", BODIES[next(iter(BODIES))], secrets=("s3cret",))
    digest = hmac.new(b"1768467600\ns3cret", b"", hashlib.sha256).digest()
    assert message["timestamp"] == "1768467600"
    assert message["sign"] == base64.b64encode(digest).decode()


def test_cloudevents_is_read_by_the_reference_library() -> None:
    from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

    body = BODIES[next(iter(BODIES))]
    request = all_formats()["cloudevents"].build(body, Target(URL, now=NOW, delivery_id="dlv_1"))
    event = from_structured_event(HTTPMessage(request.headers, request.body))
    assert event.get_id() == "dlv_1"
    assert event.get_type() == "dev.hookyard.hook.on_message_received"
    assert event.get_source() == "/hookyard/claude-code"
    assert event.get_subject() == "ses_42"
    assert event.get_data() == body


OK, RETRY, THROTTLED, REFUSED = (
    DeliveryVerdict.OK,
    DeliveryVerdict.RETRY,
    DeliveryVerdict.THROTTLED,
    DeliveryVerdict.REFUSED,
)


@pytest.mark.parametrize(
    ("name", "status", "headers", "body", "outcome", "wait"),
    [
        ("slack", 200, {}, "ok", OK, None),
        ("slack", 200, {}, '{"ok":false,"error":"invalid_blocks"}', REFUSED, None),
        ("slack", 200, {}, "<html>sign in to the hotel network</html>", REFUSED, None),
        ("slack", 404, {}, "no_service", REFUSED, None),
        ("slack", 410, {}, "channel_is_archived", REFUSED, None),
        ("slack", 429, {"retry-after": "30"}, "rate_limited", THROTTLED, 30.0),
        ("slack", 503, {}, "", RETRY, None),
        ("dingtalk", 200, {}, '{"errcode":0,"errmsg":"ok"}', OK, None),
        ("dingtalk", 200, {}, "ok", OK, None),
        ("dingtalk", 200, {}, '{"errcode":310000,"errmsg":"keywords not in content"}', REFUSED, None),
        ("dingtalk", 200, {}, '{"errcode":130101,"errmsg":"send too fast"}', THROTTLED, 600.0),
        ("dingtalk", 200, {}, '{"errcode":660026,"errmsg":"too many"}', THROTTLED, 600.0),
        ("dingtalk", 200, {}, '{"errcode":-1,"errmsg":"busy"}', RETRY, None),
        ("dingtalk", 502, {}, "", RETRY, None),
        ("wecom", 200, {}, '{"errcode":0,"errmsg":"ok"}', OK, None),
        ("wecom", 200, {}, '{"errcode":45009,"errmsg":"api freq out of limit"}', THROTTLED, 60.0),
        ("wecom", 200, {}, '{"errcode":93000,"errmsg":"invalid webhook url"}', REFUSED, None),
        ("feishu", 200, {}, '{"code":0,"msg":"success","StatusCode":0}', OK, None),
        ("feishu", 200, {}, '{"code":11232,"msg":"frequency limited"}', THROTTLED, 60.0),
        ("feishu", 400, {"X-Ogw-Ratelimit-Reset": "52"}, '{"code":99991400,"msg":"limit"}', THROTTLED, 52.0),
        ("feishu", 200, {}, '{"code":19021,"msg":"sign match fail"}', REFUSED, None),
        ("feishu", 400, {}, '{"code":9499,"msg":"Bad Request"}', REFUSED, None),
        ("feishu", 500, {}, "oops", RETRY, None),
        ("feishu", 500, {}, '{"code":0}', RETRY, None),
        ("discord", 204, {}, "", OK, None),
        ("discord", 429, {}, '{"message":"You are being rate limited.","retry_after":0.65}', THROTTLED, 0.65),
        ("discord", 429, {"Retry-After": "3"}, "", THROTTLED, 3.0),
        ("discord", 404, {}, '{"message":"Unknown Webhook","code":10015}', REFUSED, None),
        ("teams", 202, {}, "", OK, None),
        ("teams", 200, {}, "1", OK, None),
        (
            "teams",
            200,
            {},
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with x",
            THROTTLED,
            None,
        ),
        (
            "teams",
            200,
            {},
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413 with x",
            REFUSED,
            None,
        ),
        ("hookyard", 200, {}, '{"result":"deny"}', OK, None),
        ("hookyard", 425, {}, "", RETRY, None),
        ("hookyard", 302, {}, "", REFUSED, None),
        ("cloudevents", 408, {}, "", RETRY, None),
    ],
)
def test_replies_are_judged_as_the_service_means_them(
    name: str, status: int, headers: dict[str, str], body: str, outcome: DeliveryVerdict, wait: float | None
) -> None:
    judged = all_formats()[name].judge(status, headers, body.encode(), NOW)
    assert (judged.outcome, judged.retry_after) == (outcome, wait)
    assert bool(judged.reason) is (outcome is not OK)


@given(st.binary(max_size=200), st.integers(100, 599))
def test_any_reply_is_judged_in_one_short_line(body: bytes, status: int) -> None:
    for made in all_formats().values():
        judged = made.judge(status, {}, body, NOW)
        assert len(judged.reason) <= 200
        assert judged.reason.isprintable()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("Thu, 15 Jan 2026 09:00:10 GMT", 10.0),
        ("Thu, 15 Jan 2026 08:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_seconds({"RETRY-AFTER": text}, NOW) == seconds
