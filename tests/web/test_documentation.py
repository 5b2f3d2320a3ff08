"""The pages about the API and about operations say what the server does: routes, requests, settings, metrics."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from hookyard.settings import LIVE
from hookyard.telemetry.metrics import SPECS
from scripts import pages
from scripts.settings_table import PAGES, with_table
from tests.web.conftest import ADMIN_TOKEN, Server

LANGUAGE = pytest.mark.parametrize("language", list(PAGES))
NAMED = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?]+)`")
PROBES = {"/healthz", "/readyz", "/metrics"}


def page(language: str, name: str) -> str:
    return pages.page(name, language).read_text(encoding="utf-8")


@LANGUAGE
async def test_every_route_is_named_and_no_other(server: Server, language: str) -> None:
    document = (await server.nobody.get("/api/openapi.json")).json()
    served = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, methods in document["paths"].items()
        for method in methods
    }
    named = {
        (method, path)
        for method, path in NAMED.findall(page(language, "reference/http-api"))
        if path != "/api/openapi.json"
    }
    assert {one for one in named if one[1] not in PROBES} == served


@LANGUAGE
async def test_the_five_requests_do_what_is_said(server: Server, language: str, tmp_path: Path) -> None:
    text = page(language, "tutorial/first-callback")
    (script,) = re.findall(r"```sh\n(api\(\).*?)```", text, re.DOTALL)
    environ = {"HOOKYARD_URL": server.admin.address, "HOOKYARD_TOKEN": ADMIN_TOKEN, "PATH": os.environ["PATH"]}
    script = script.replace("curl ", r"curl -w '\n' ", 1)  # each answer on a line of its own
    bash = await asyncio.create_subprocess_exec(
        "bash", "-ec", script, cwd=tmp_path, env=environ, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await bash.communicate()
    assert bash.returncode == 0, said
    workspace, callback, task, events, runs = (json.loads(line) for line in said.splitlines() if line)
    assert workspace["id"] == "shop"
    (event,) = events["items"]
    (run,) = runs["items"]
    (verdict,) = event["callbacks"]
    assert event["eventName"] == "task.created"
    assert (verdict["callbackId"], verdict["runId"]) == (callback["id"], run["id"])
    whole = await server.admin.get(f"/api/v1/workspaces/shop/runs/{run['id']}")
    assert task["taskId"] in whole.json()["prompt"]


@LANGUAGE
def test_the_settings_are_those_of_the_code(language: str) -> None:
    text = page(language, "reference/settings")
    assert text == with_table(text, language), "run: uv run python -m scripts.settings_table"
    assert all(setting.help_zh for setting in LIVE.values())


@LANGUAGE
def test_the_metrics_are_those_of_the_code(language: str) -> None:
    units = {"s": "_seconds", "USD": "_usd"}
    served = {
        spec.name.replace(".", "_") + units.get(spec.unit, "") + ("_total" if spec.counter else "") for spec in SPECS
    }
    assert set(re.findall(r"`(hookyard_[a-z_]+)(?:\{[a-z]+\})?`", page(language, "reference/metrics"))) == served
