"""A callback as the fields of a form, and back.

Used by the editor. Every field of the specification has a place in the form; what the form leaves empty is what the
settings say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hookyard.callbacks.spec import CallbackSpec
from hookyard.core.errors import InvalidError
from hookyard.web.pages.form import Form

WINDOWS = ("dedupe", "merge")
CHOICES = {"": None, "on": True, "off": False}


def spec_of(form: Form) -> CallbackSpec:
    """Return the callback that a form describes.

    Raises:
        InvalidError: Fields that cannot be used, each named.
    """
    return CallbackSpec.read(given_of(form))


def given_of(form: Form) -> dict[str, Any]:
    """Return the fields as the API would receive them.

    Raises:
        InvalidError: A number that is none, or an inline agent that is no JSON.
    """
    given: dict[str, Any] = {
        "name": form.text("name"),
        "enabled": form.on("enabled"),
        "events": form.all("events"),
        "prompt": form.raw("prompt"),
        "condition": form.text("condition"),
        "agent": _agent(form),
        "timeoutSeconds": form.seconds("timeoutSeconds"),
        "concurrencyKey": form.text("concurrencyKey") or None,
        "fence": form.text("fence") or "auto",
        "afterCrash": form.text("afterCrash") or "restart",
        "authors": form.text("authors") or None,
        "loop": {
            "allowSelf": form.on("loop.allowSelf"),
            "maxChain": form.number("loop.maxChain"),
            "runsPerHour": form.number("loop.runsPerHour"),
        },
    }
    for part in WINDOWS:
        given[part] = {
            "enabled": CHOICES.get(form.text(f"{part}.enabled")),
            "windowMs": form.number(f"{part}.windowMs"),
        }
    return given


def _agent(form: Form) -> str | dict[str, Any]:
    inline = form.text("agentInline")
    if form.text("agent") == "{}" and inline:
        try:
            described = json.loads(inline)
        except ValueError:
            described = None
        if not isinstance(described, dict):
            raise InvalidError("the inline agent is no JSON object", where="agent", hint='write {"kind": …}')
        return described
    return form.text("agent")


def fields_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form's fields of a callback as the API shows it; the same keys, flat."""
    fields: dict[str, Any] = {
        "name": "", "enabled": True, "events": [], "prompt": "", "condition": "", "agent": "", "timeoutSeconds": None,
        "concurrencyKey": None, "fence": "auto", "afterCrash": "restart", "authors": None,
    }  # fmt: skip
    for name in fields:
        if spec.get(name) is not None:
            fields[name] = spec[name]
    if fields["timeoutSeconds"] is not None:
        fields["timeoutSeconds"] = f"{fields['timeoutSeconds']:g}"
    fields["agentInline"] = json.dumps(fields["agent"], ensure_ascii=False) if isinstance(fields["agent"], dict) else ""
    if fields["agentInline"]:
        fields["agent"] = "{}"
    for part in WINDOWS:
        own = spec.get(part) or {}
        fields[f"{part}.enabled"] = {None: "", True: "on", False: "off"}[own.get("enabled")]
        fields[f"{part}.windowMs"] = own.get("windowMs")
    loop = spec.get("loop") or {}
    fields["loop.allowSelf"] = bool(loop.get("allowSelf"))
    fields["loop.maxChain"], fields["loop.runsPerHour"] = loop.get("maxChain"), loop.get("runsPerHour")
    return fields
