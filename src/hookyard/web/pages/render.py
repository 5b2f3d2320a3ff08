"""Templates in, responses out, with the headers that every page carries.

Used by `page_context`. The policy allows nothing inline: a template has neither `style` attributes nor scripts of its
own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from hookyard.web.pages import static
from hookyard.web.pages.highlight import javascript, json_text
from hookyard.web.pages.icons import sprite
from hookyard.web.pages.language import Language
from hookyard.web.pages.markdown import render_markdown
from hookyard.web.pages.plots import plot_functions

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@cache
def environment() -> Environment:
    """Return the compiled templates."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.globals.update(static=static.url, sprite=sprite(), **plot_functions())
    env.filters.update(
        javascript=javascript,
        json_text=json_text,
        pairs=pairs,
        pairs_of=pairs_of,
        prose=render_markdown,
        short=short,
        tojson_plain=tojson_plain,
        zip_same=zip_same,
    )
    return env


def pairs(names: Iterable[str], group: str, language: Language) -> list[tuple[str, Markup]]:
    """Return names with their texts, for a choice."""
    return [(name, language.word(group, name)) for name in names]


def pairs_of(things: Iterable[object], key: str, words: str) -> list[tuple[str, str]]:
    """Return things as keys and texts, for a choice."""
    return [(str(getattr(one, key)), str(getattr(one, words))) for one in things]


def short(key: str) -> str:
    """Return the last six characters of an id, as people refer to it."""
    return key[-6:]


def tojson_plain(value: object) -> str:
    """Return a variable's value as it would be in JSON."""
    return json.dumps(value, ensure_ascii=False)


def zip_same(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return names that are their own texts, for a choice."""
    return [(name, name) for name in names]


def html(template: str, data: Mapping[str, Any]) -> str:
    """Return a rendered template as text."""
    return environment().get_template(template).render(data)


def part(template: str, macro: str, *values: object, **context: Any) -> Markup:
    """Return one rendered macro of a template, for pieces that are sent alone."""
    module = environment().get_template(template).make_module(context)
    return Markup(getattr(module, macro)(*values))  # noqa: S704 (already escaped by the template)


def page(template: str, data: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """Return a rendered template as a response with every header of a page."""
    return HTMLResponse(html(template, data), status, HEADERS)
