"""The shapes of secrets: each finds what it is for, hides that alone, takes nothing else, and reads a text once."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from hookyard.hooks.decision import Result
from hookyard.hooks.redaction import secret_rules
from hookyard.hooks.redaction.secret_patterns import SECRET_PATTERNS
from hookyard.hooks.redaction.secret_rules import Action, RuleResult, judge, named

REMOVED = "[secret removed]"
HEX, WORD = "0123456789abcdef", string.ascii_letters + string.digits
MEBIBYTE = 1 << 20
SHORTEST = 6
"""Characters that a shape matches at least."""

MOST_IN_VAIN = 4 * 170
"""Characters that are read after the beginning of a private key which turns out to be none: four headers."""


def made(count: int, of: str = WORD) -> str:
    """Random characters, the same in every run; made here so that no scanner takes this file for a leak."""
    return "".join(Random(count).choices(of, k=count))


PASSWORD = "correct7" + "horse"
KEYS: list[tuple[str, str]] = [
    ("Mailgun Key", "key-" + made(32, HEX)),
    ("Mailgun Key", f"{made(32, HEX)}-{made(8, HEX)}-{made(8, HEX)}"),
    ("GitLab Token", "glpat-" + made(20)),
    ("PyPI Token", "pypi-" + "AgEIcHlwaS5vcmc" + made(80)),
    ("SendGrid API Key", f"SG.{made(22)}.{made(43)}"),
    ("Twilio API Key", "SK" + made(32, HEX)),
    ("Stripe Test Key", "sk_test_" + made(24)),
    ("Perplexity API Key", "pplx-" + made(48)),
    ("Replicate Token", "r8_" + made(37)),
    ("NVIDIA API Key", "nvapi-" + made(64)),
    ("LangSmith API Key", f"lsv2_pt_{made(32, HEX)}_{made(10, HEX)}"),
    ("Tavily API Key", "tvly-dev-" + made(32)),
    ("Hugging Face Token", "api_org_" + made(34)),
    ("Amazon Bedrock API Key", "ABSK" + made(128)),
    ("Azure Client Secret", f"{made(3)}8Q~{made(34)}"),
    ("Google OAuth", "GOCSPX-" + made(28)),
    ("Google OAuth", "ya29." + made(120)),
    ("Google OAuth", "1//0" + made(60)),
    ("Cloudflare Origin CA Key", f"v1.0-{made(24, HEX)}-{made(146, HEX)}"),
    ("Fly.io Token", "fm2_" + made(90)),
    ("Heroku API Key", "HRKU-AA" + made(58)),
    ("Databricks Token", "dapi" + made(32, HEX)),
    ("PlanetScale Token", "pscale_pw_" + made(43)),
    ("Supabase Key", "sbp_" + made(40, HEX)),
    ("Supabase Key", f"sb_secret_{made(22)}_{made(8)}"),
    ("Terraform Cloud Token", f"{made(14)}.atlasv1.{made(67)}"),
    ("Pulumi Token", "pul-" + made(40, HEX)),
    ("Doppler Token", "dp.pt." + made(43)),
    ("Tailscale Key", f"tskey-auth-{made(12)}-{made(32)}"),
    ("Bitbucket Token", "ATBB" + made(32)),
    ("Atlassian API Token", "ATATT3xFfGF0" + made(180)),
    ("RubyGems Key", "rubygems_" + made(48, HEX)),
    ("crates.io Token", "cio" + made(32)),
    ("Docker Hub Token", "dckr_pat_" + made(27)),
    ("Grafana Token", f"glsa_{made(32)}_{made(8, HEX)}"),
    ("Grafana Token", "glc_" + made(120)),
    ("New Relic Key", "NRAK-" + made(27, string.ascii_uppercase)),
    ("Sentry Token", f"sntrys_{made(100)}_{made(43)}"),
    ("Sentry Token", "sntryu_" + made(64, HEX)),
    ("Postman API Key", f"PMAK-{made(24, HEX)}-{made(34, HEX)}"),
    ("Linear API Key", "lin_api_" + made(40)),
    ("Notion Token", "ntn_" + made(46)),
    ("Notion Token", "secret_" + made(43)),
    ("Figma Token", "figd_" + made(40)),
    ("Airtable Token", f"pat{made(14)}.{made(64, HEX)}"),
    ("Brevo API Key", f"xkeysib-{made(64, HEX)}-{made(16)}"),
    ("Resend API Key", f"re_{made(8)}_{made(24)}"),
    ("Shopify Token", "shpat_" + made(32, HEX)),
    ("Slack Token", "xoxe-1-" + made(140)),
]
IN_PLACES: list[str] = [
    "machine api.example.com login ada password {}",
    "machine api.example.com\n  login ada\n  password {}\nmachine b.example.com",
    "machine api.example.com account work login ada password {}",
    "machine api.example.com\n\tpassword {}\n\tlogin ada",
    'machine api.example.com login ada password "{}"',
    "default login ada password {}",
    "sshpass -p {} ssh ada@example.com",
    "sshpass -p{} ssh ada@example.com",
    "sshpass -p '{} and more' ssh ada@example.com",
    "sshpass -v -P assphrase -p {} ssh -p 2222 ada@example.com",
    "curl -sS -u 'ada:{} and more' https://example.com",
    "curl https://example.com --proxy-user ada:{}",
    "mysql -h db -u ada -p{} shop",
    "mysqldump -p'{}' shop > all.sql",
    "7z x -p{} all.7z",
    "MYSQL_PWD={} mysql",
    "PGPASSWORD={} psql -h db",
    "docker login -u ada -p {} registry.example.com",
    "docker login --password {}",
    "helm registry login example.com -u ada -p {}",
    "az login --service-principal -u app -p {} --tenant t",
    "twine upload -u ada -p {} dist/*",
    "mongosh -u ada -p {}",
    "sqlcmd -S db -U sa -P {}",
    "unzip -P {} all.zip",
    "redis-cli -h db -a {} ping",
    "ldapsearch -x -D cn=ada -w {}",
    "xfreerdp /u:ada /p:{} /v:host",
    "smbclient //host/share -U ada%{}",
    "lftp -u ada,{} ftp.example.com",
    "openssl rsa -in key.pem -passin pass:{}",
    "keytool -list -keystore k.jks -storepass {}",
    "htpasswd -bB file ada {}",
    "echo ada:{} | sudo chpasswd",
    "echo {} | sudo -S apt-get update",
    "wget --http-password {} https://example.com",
    "svn checkout --username ada --password={} https://example.com",
    "*:*:*:ada:{}",
    "db.example.com:5432:shop:ada:{}",
    "redis://:{}@db.example.com:6379/0",
    "ansible_ssh_pass={}",
    "//registry.example.com/:_authToken={}",
]
TOKEN = made(40)
TOKENS_IN_PLACES: list[str] = [
    "tool --api-key {} run",
    "TWILIO_AUTH_TOKEN={}",
    "export CLOUDFLARE_API_TOKEN='{}'",
    "AWS_SESSION_TOKEN={} aws s3 ls",
    "AWS_SECRET_ACCESS_KEY={}",
    "aws_secret_access_key = {}",
    "AZURE_PAT: {}",
    '{{"access_token": "{}"}}',
    "refresh_token = '{}'",
    '{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{}"}}}}}}',
    "X-Api-Key: {}",
    "curl -H 'PRIVATE-TOKEN: {}' https://gitlab.example.com",
    "https://example.blob.core.windows.net/c?sv=2024-01-01&sig={}",
    "https://s3.example.com/a?X-Amz-Signature={}",
    "git clone https://{}@github.com/ada/shop",
    "https://hooks.slack.com/workflows/{}",
    "https://example.webhook.office.com/webhookb2/{}",
]
ORDINARY: list[str] = [
    'key = "cache-key-' + made(32, HEX) + '"',
    "the key-value store; key-" + made(40, HEX),
    "e3b0c442-98fc-1c14-9afb-f4c8996fb924",
    made(32, HEX) + "  dist/hookyard.tar.gz",
    "sha256:" + made(64, HEX),
    'resolved "https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#' + made(40, HEX) + '"',
    '"integrity": "sha512-' + made(86) + '=="',
    f'{{ url = "https://files.example.com/a-1.0.whl", hash = "sha256:{made(64, HEX)}", size = 123456 }}',
    "https://app.example.com/badge.svg?token=" + made(10),
    "machine learning login flow password reset",
    '{"text": "machine learning login flow password reset"}',
    "the default login is password protected",
    "sshpass -e ssh -p 2222222 ada@example.com",
    "sshpass -p $PASSWORD ssh ada@example.com",
    "sshpass -f /run/secrets/password1 ssh ada@example.com",
    "mysql -u root -p shop2025db",
    "docker run --name mysql -p3306:3306 -p127.0.0.1:33060:33060 mysql:8",
    "docker run -p 8080:80/tcp web2025",
    "docker login -u ada --password-stdin < token2025.txt",
    "docker login -u ada -p $TOKEN",
    "docker build --secret id=npmrc,src=/home/ada1/.npmrc .",
    "ssh -p 2222222 ada@example.com",
    "psql -p 5432 -U ada shop",
    "curl -u $USER:$PASSWORD1 https://example.com",
    "tool --token TOKEN --api-key <key> --password=PASSWORD",
    "tool --token ./token2025.txt --password file:/run/secrets/p1 --token @token1",
    "tool --max-tokens 200000 --token-limit 1000000",
    "UNK_TOKEN=100257; PAD_TOKEN = '<|endoftext|>'",
    "ACCESS_TOKEN = settings.provider2.tokens.access",
    'ACCESS_TOKEN = request2.headers["x-access-token"]',
    "GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN_2 }}",
    "NEXT_TOKEN = self.tokens.read2(stream)",
    "access_token: str = Field2(...)",
    '"access_token": "your-access-token-0123456789"',
    "//registry.example.com/:_authToken=${NPM_TOKEN1}",
    "X-Api-Key: {api_key2}",
    "main.py:1234:5:error:something2",
    "2001:1234:a1b2:c3d4:e5f6:a1b2:7:8",
    "db.example.com:5432:shop:ada",
    "https://" + made(32, HEX) + "@o12.ingest.sentry.io/34",
    "https://github.com/ada/shop/commit/" + made(40, HEX),
    "if text.startswith('-----BEGIN PRIVATE" + " KEY-----'): ...",
    'BEGIN = "-----BEGIN PRIVATE' + ' KEY-----"\nEND = "-----END PRIVATE' + ' KEY-----"',
    "-----BEGIN CERTIFICATE-----\n" + made(64) + "\n-----END CERTIFICATE-----",
    base64.b64encode(b"-----BEGIN CERTIFICATE-----\n" + made(64).encode()).decode(),
]
HOSTILE: list[str] = [
    *("machine ", "machine a login b password ", f"machine a login b password {PASSWORD} "),
    *("sshpass -p ", f"sshpass -p {PASSWORD} ", "curl -u a:", f"curl -u a:{PASSWORD} ", "mysql -p", "docker login x"),
    *("key-a", "sk-ant-" + "a" * 20, "a:1111:a:a:", f"a:1111:a:a:{PASSWORD}\n", "echo ", "echo a:b", "--token "),
    *("-----BEGIN PRIVATE" + " KEY-----\n", "-----BEGIN PRIVATE" + " KEY-----\n" + "a" * 64, "Private-Lines: 1\n"),
    *("A_TOKEN=", f"A_TOKEN={TOKEN} ", "api_token='aaaaaaaa", "redis://:a", "?sig=", "LS0tLS1CRUdJTi", "!-", " ", "a"),
    *("密码:", "密码：" + PASSWORD + "\n", '"', "'", "\n", "authorization: bearer "),
]


@pytest.fixture(scope="module")
def secrets() -> Any:
    return named("secrets")


def ruled(secrets: Any, text: str) -> RuleResult:
    return judge({"event": "on_model_response", "response": text}, [secrets], Action.REDACT)


@pytest.mark.parametrize(("kind", "secret"), KEYS)
def test_keys_are_known_by_their_look(secrets: Any, kind: str, secret: str) -> None:
    ruling = ruled(secrets, f"Here: {secret}, and\n{secret}\n")
    assert kind in ruling.message
    assert ruling.content == f"Here: {REMOVED}, and\n{REMOVED}\n"


@pytest.mark.parametrize(("text", "secret"), [(text, PASSWORD) for text in IN_PLACES])
def test_passwords_are_known_by_their_place(secrets: Any, text: str, secret: str) -> None:
    kept = ruled(secrets, text.format(secret)).content
    assert kept in {text.format(REMOVED), text.format(REMOVED).replace(f"{REMOVED} and more", REMOVED)}


@pytest.mark.parametrize("text", TOKENS_IN_PLACES)
def test_tokens_are_known_by_their_place(secrets: Any, text: str) -> None:
    ruling = ruled(secrets, text.format(TOKEN))
    assert ruling.result is Result.MODIFY
    assert ruling.content == text.format(REMOVED)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(secrets: Any, text: str) -> None:
    assert ruled(secrets, text) == RuleResult(Result.OK)


def test_private_keys_are_hidden_whole(secrets: Any) -> None:
    begin, end = "-----BEGIN RSA PRIVATE" + " KEY-----", "-----END RSA PRIVATE" + " KEY-----"
    body = f"{made(64)}\n{made(64)}\n{made(20)}"
    encrypted = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{made(32, HEX)}\n\n{body}"
    for key in (f"{begin}\n{body}\n{end}", f"{begin}\n{encrypted}\n{end}", f"{begin}\n{body}", f"{begin}\n{encrypted}"):
        assert ruled(secrets, f"It is:\n{key}\nDone.").content == f"It is:\n{REMOVED}\nDone."
    putty = f"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 2\n{made(64)}\n{made(40)}\nPrivate-MAC: 0"
    assert ruled(secrets, putty).content == f"PuTTY-User-Key-File-3: ssh-rsa\n{REMOVED}\nPrivate-MAC: 0"
    for kind in ("RSA ", "", "EC ", "OPENSSH ", "ENCRYPTED "):
        text = base64.b64encode(f"-----BEGIN {kind}PRIVATE{' '}KEY-----\n{body}".encode()).decode()
        assert ruled(secrets, f"client-key-data: {text}").content == f"client-key-data: {REMOVED}"


def test_every_shape_is_bounded() -> None:
    """RE2 takes each (`rules` compiles them with it); none matches without end, or less than a few characters."""
    for shape in SECRET_PATTERNS:
        shortest, longest = _parser.parse(shape.text).getwidth()
        assert shortest >= SHORTEST, shape
        assert longest <= 1200, shape  # far from what the parser says of what has no end


class Counted:
    """An expression that counts the steps of RE2: what is read up to a match, and at most its longest match beyond."""

    def __init__(self, expression: Any, longest: int, steps: list[int]) -> None:
        self._expression, self._longest, self._steps = expression, longest, steps

    def finditer(self, text: str) -> Iterator[Any]:
        self._steps[0] += len(text)
        for match in self._expression.finditer(text):
            self._steps[0] += self._longest
            yield match


class CountedTail:
    """What is read of a text after the beginning of a key, or of a private key."""

    def __init__(self, expression: re.Pattern[str], steps: list[int]) -> None:
        self._expression, self._steps = expression, steps

    def match(self, text: str, start: int) -> re.Match[str] | None:
        found = self._expression.match(text, start)
        self._steps[0] += found.end() - start if found else MOST_IN_VAIN
        return found


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_mebibyte_costs_bounded_steps(monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
    text = (piece * (MEBIBYTE // len(piece) + 1))[:MEBIBYTE]
    steps, longest = [0], 0
    counted = []
    for shape, detector in zip(SECRET_PATTERNS, secret_rules._shapes(), strict=True):
        width = _parser.parse(shape.text).getwidth()[1]
        longest = max(longest, width)
        counted.append(replace(detector, expression=Counted(detector.expression, width, steps)))
    monkeypatch.setattr(secret_rules, "_TAIL", CountedTail(secret_rules._TAIL, steps))
    monkeypatch.setattr(secret_rules, "_KEY_LINES", CountedTail(secret_rules._KEY_LINES, steps))
    for _ in secret_rules._in_text(text, 0, counted):
        pass
    for _ in secret_rules._private_keys(text):
        pass
    # Each shape reads the text once, each match its own width again, and a tail is read once by each shape. Only a few
    # shapes can match one text often, so this is far below the worst that could be computed.
    assert steps[0] <= MEBIBYTE * (len(SECRET_PATTERNS) + longest)


def test_what_the_library_reads_comes_in_short_parts() -> None:
    """Its expressions may go back, but never over more than one part: their cost for each character is bounded."""
    for text in ("a" * MEBIBYTE, "\n" * MEBIBYTE, ("a" * 8000 + "\n") * 131, ("a" * 8001 + "\n") * 131):
        parts = [len(part) for _, part in secret_rules._lines(text)]
        assert max(parts) <= 8000
        assert sum(parts) <= 1.1 * len(text)
        assert len(parts) <= len(text) + 1
