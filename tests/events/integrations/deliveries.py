"""Deliveries of services for the tests of their doors."""

import contextlib
import copy
import hashlib
import hmac
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hookyard.core.errors import InvalidError
from hookyard.events.catalog import Catalog
from hookyard.events.integrations.base import Integration, Translation
from tests.conftest import ROOT

CATALOG = Catalog()
EXAMPLES = "@octokit/webhooks-examples@7.6.1"


def body(payload: object) -> bytes:
    return json.dumps(payload).encode()


def signature(raw: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def names(translation: Translation | None) -> list[str]:
    return [] if translation is None else [draft.name for draft in translation.drafts]


def sound(translation: Translation) -> None:
    """What holds for every translation: the catalog knows the events, and they are one operation."""
    ids = [draft.source_id for draft in translation.drafts]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    for draft in translation.drafts:
        event_type = CATALOG.get(draft.name)
        assert event_type is not None
        assert draft.variables.keys() == event_type.types.keys()
        assert all(event_type.types[name].holds(value) for name, value in draft.variables.items())
        assert draft.operation_id == translation.delivery_id
        assert draft.variables["taskDBId"] == translation.happening.task.db_id
        if "changes" in draft.variables:
            assert isinstance(json.loads(str(draft.variables["changes"])), dict)


def hostile(payload: Any) -> list[Any]:
    """Copies of a payload, each with one field of the first two levels gone, null or of another kind."""
    copies = []
    for key in payload:
        inner = [()] if not isinstance(payload[key], dict) else [(), *((name,) for name in payload[key])]
        for path in inner:
            wrongs: tuple[object, ...] = (None, 5, [], "x", {"a": []}, True)
            for wrong in wrongs:
                changed = copy.deepcopy(payload)
                place = changed if not path else changed[key]
                place[path[0] if path else key] = wrong
                copies.append(changed)
    return copies


def survives(source: Integration, headers: dict[str, str], payload: Any) -> None:
    """Whatever is missing or odd, a delivery is translated soundly, means nothing, or is refused with a reason."""
    for changed in hostile(payload):
        with contextlib.suppress(InvalidError):
            translation = source.translate(headers, body(changed))
            if translation is not None:
                sound(translation)


def octokit_examples() -> list[dict[str, Any]]:
    """GitHub's own examples from npm, kept in a cache folder; in CI they must be there."""
    cache = Path(os.environ.get("HOOKYARD_TEST_CACHE") or ROOT / ".cache" / "tests")
    found = cache / "node_modules" / "@octokit" / "webhooks-examples" / "api.github.com" / "index.json"
    if not found.exists():
        reason = _fetch(cache)
        if reason and os.environ.get("CI"):
            pytest.fail(reason)
        if reason:
            pytest.skip(reason)
    examples: list[dict[str, Any]] = json.loads(found.read_text(encoding="utf-8"))
    return examples


def _fetch(cache: Path) -> str:
    """Install the examples; why that failed, or nothing."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed, so GitHub's example payloads cannot be fetched"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "package.json").write_text("{}")
    quiet = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    command = [npm, "install", *quiet, "--prefix", str(cache), EXAMPLES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    return f"npm could not fetch GitHub's example payloads: {done.stderr.strip()[-200:]}" if done.returncode else ""
