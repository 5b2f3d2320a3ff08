"""The rule `secrets`: finds what it must, leaves what it should, answers what the point allows, shows nothing."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from hookyard.core.errors import InvalidError
from hookyard.hooks.decision import Result
from hookyard.hooks.points import Point
from hookyard.hooks.redaction.secret_rules import Action, RuleResult, judge, named
from tests.hooks.bodies import BODIES

# None of these opens anything. They are put together here so that no scanner takes this file for a leak.
PEM = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEpAIBAAKCAQEAx0\nabc=\n-----END RSA PRIVATE" + " KEY-----"
SECRETS = {
    "AWS Access Key": "AKIA" + "Q3EGUZ4KQ7NDHOZ2",
    "Anthropic API Key": "sk-ant-" + "api03-abcdefghijklmnopqrstuvwxyz0123456789",
    "OpenAI Token": "sk-" + "proj-abcdefghijklmnopqrstuvwxyz0123456789",
    "GitHub Token": "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a",
    "GitLab Token": "glpat" + "-abcdefghij1234567890",
    "Slack Token": "xoxb" + "-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
    "Stripe Access Key": "sk_" + "live_abcdefghijklmnopqrstuvwx",
    "Google API Key": "AIza" + "SyA-1234567890abcdefghijklmnopqrstu",
    "Hugging Face Token": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n",
    "Private Key": PEM,
    "xAI API Key": "xai-" + "abcdefghij0123456789ABCDEFGHIJ0123456789",
    "API key of a model provider": "sk-" + "da0097278a8c03ab43841b2239a781b0",
    "SecretId of Tencent Cloud": "AKID" + "8Aq8GsVASrBvX6FnT1F8zTBfein9joUb",
    "DigitalOcean Token": "dop_v1_" + "23f17009e8d54aed5cc6f8b48852ba48" * 2,
    "HashiCorp Vault Token": "hvs." + "Q6JGo2A9rXQAzrFgQ11ilJbDWcFnz0UI",
    "NPM Token": "npm_" + "1rhNSlgozoFCyWkop0sDJLynCTqvFLh6nfca",
    "age Secret Key": "AGE-SECRET-KEY-1" + "ENE3K7R7PMN5F3YH6EP8ZQX44HZHYL9U4Q25HDFFXE56H4SHZY0SEJ9Y23",
    "Webhook Secret": "whsec_" + "8kSfzOSrMtnHnp4vreeS16HQxDGJVdkt",
    "hookyard Token": "hky_" + "VnGGzh65Tn08yQ7Hi0TLqUaThZmWKyQE",
}


@pytest.fixture(scope="module")
def secrets() -> Any:
    return named("secrets")


def response(text: str) -> dict[str, Any]:
    return {**BODIES[Point.MODEL_RESPONSE], "response": text}


def tool(args: str, point: Point = Point.PRE_TOOL) -> dict[str, Any]:
    body = BODIES[point]
    return {**body, "context": {**body["context"], "tool_args": args}}


@pytest.mark.parametrize("kind", SECRETS)
def test_keys_are_found_named_and_removed_whole(secrets: Any, kind: str) -> None:
    secret = SECRETS[kind]
    ruling = judge(response(f"Here you are:\n{secret}\nDone."), [secrets], Action.REDACT)
    assert ruling.result is Result.MODIFY
    assert kind in ruling.message
    assert ruling.content == "Here you are:\n[secret removed]\nDone."
    assert secret not in json.dumps({"message": ruling.message})


@pytest.mark.parametrize(
    "text",
    [
        'password = "hunter2hunter2"',
        "export DB_PASSWORD=hunter2hunter2 && make",
        "mysql_password: hunter2hunter2",
        "postgres://ada:hunter2hunter2@db.example/shop",
        '{"api_key": "hunter2hunter2"}',
        "api_key => 'hunter2hunter2'",
        "curl -sS -u ada:hunter2hunter2 https://example.com",
        "Authorization: Bearer hunter2hunter2hunter2hunter2",
        "数据库密码：hunter2hunter2",
        "口令是 hunter2hunter2",
        "https://oapi.dingtalk.com/robot/send?access_token=hunter2hunter2hunter2hunter2",
        "https://open.feishu.cn/open-apis/bot/v2/hook/hunter2hunter2hunter2hunter2",
    ],
)
def test_passwords_are_found_and_only_they_are_removed(secrets: Any, text: str) -> None:
    ruling = judge(response(text), [secrets], Action.REDACT)
    assert ruling.content == re.sub("(?:hunter2)+", "[secret removed]", text)


@pytest.mark.parametrize(
    "text",
    [
        "The total is a float; I will use Decimal.",
        "def check(password: str) -> bool: ...",
        'password = os.environ["PASSWORD"]',
        'password = "${PASSWORD}"',
        "export PASSWORD=$PASSWORD",
        'api_key = "your-api-key"',
        "password: <your password>",
        "The password is required.",
        "secret = load_secret()",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "token_count = 123456",
        "https://example.com/a:b",
        "client = OpenAI(api_key=api_key)",
        "if password == confirm_password:",
        "self.api_key = settings.provider.api_key",
        "hash_password(password=user_input_value)",
        '"password": "Enter your password"',
        'password = "Mot de passe"',
        '"secret": "签名密钥"',
        "密码不能为空；密码：请输入密码",
        "Authorization: Bearer your-access-token-here",
        "Authorization: Bearer $GITHUB_ACCESS_TOKEN",
        "curl -u user:password https://example.com",
        "postgresql://user:password@localhost/test",
        "desk-da0097278a8c03ab43841b2239a781b0",
        '"integrity": "sha512-q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ"',
    ],
)
def test_ordinary_text_is_left_alone(secrets: Any, text: str) -> None:
    assert judge(response(text), [secrets], Action.REDACT) == RuleResult(Result.OK)


def test_tool_arguments_stay_valid_json(secrets: Any) -> None:
    args = json.dumps({"command": f'curl -H "x: {SECRETS["GitHub Token"]}"', "password": "hunter2hunter2", "n": 1})
    ruling = judge(tool(args), [secrets], Action.REDACT)
    assert json.loads(ruling.content or "") == {
        "command": 'curl -H "x: [secret removed]"',
        "password": "[secret removed]",
        "n": 1,
    }


def test_an_action_is_what_the_point_allows(secrets: Any) -> None:
    args = json.dumps({"command": SECRETS["AWS Access Key"]})
    assert judge(tool(args), [secrets], Action.DENY).result is Result.DENY
    assert judge(tool(args), [secrets], Action.WARN).result is Result.WARNING
    said = response(SECRETS["AWS Access Key"])
    assert judge(said, [secrets], Action.DENY).result is Result.MODIFY  # a response cannot be denied
    prompt = {"event": "system_prompt", "context": {"system_prompt": SECRETS["AWS Access Key"]}}
    assert judge(prompt, [secrets], Action.REDACT).result is Result.WARNING  # a prompt is only added to
    result = {"event": "post_tool_execution", "result_context": {"result": SECRETS["AWS Access Key"]}}
    assert judge(result, [secrets], Action.REDACT).answer() == {
        "result": "modify",
        "message": "found in the tool's result: AWS Access Key; removed",
        "modified_content": "[secret removed]",
    }


@pytest.mark.parametrize(
    "body", [{}, {"event": 5}, {"event": "on_model_response"}, {"event": "pre_tool_execution", "context": 1}]
)
def test_a_body_with_nothing_to_read_is_ok(secrets: Any, body: dict[str, Any]) -> None:
    assert judge(body, [secrets], Action.DENY) == RuleResult(Result.OK)


@pytest.mark.parametrize("point", [Point.TURN_START, Point.SESSION_END, Point.TURN_COMPLETE])
def test_points_without_such_text_are_ok(secrets: Any, point: Point) -> None:
    assert judge(BODIES[point], [secrets], Action.DENY) == RuleResult(Result.OK)


@pytest.mark.parametrize(
    "text", ["password=" * 30_000, "a" * 1_000_000, "-----BEGIN " * 50_000, "x\n" * 300_000, "://a:" * 50_000]
)
def test_hostile_text_is_read_in_bounded_time(secrets: Any, text: str) -> None:
    started = time.process_time()
    judge(response(text), [secrets], Action.WARN)
    assert time.process_time() - started < 20


def test_an_unknown_rule_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidError, match="did you mean secrets"):
        named("secret")
