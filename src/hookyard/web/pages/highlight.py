"""Colour for code that the server shows: conditions (JavaScript) and bodies (JSON).

Used as filters by the templates. The condition editor colours with the same rules in `code-editor.js`.
"""

from __future__ import annotations

import json
import re

from markupsafe import Markup, escape

_JAVASCRIPT = re.compile(
    r"""(?P<op>//.*|/\*[\s\S]*?\*/|[=!<>&|?:+\-*%^~]+)
    |(?P<s>'(?:\\.|[^'\\\n])*'?|"(?:\\.|[^"\\\n])*"?|`(?:\\.|[^`\\])*`?)
    |(?P<nu>\b\d[\d._]*\b)
    |(?P<k>\b(?:true|false|null|undefined|typeof|in|instanceof|new|void)\b)
    |(?P<fn>[\w$]+(?=\())""",
    re.VERBOSE,
)
_JSON = re.compile(
    r'(?P<fn>"(?:\\.|[^"\\])*"(?=:))|(?P<s>"(?:\\.|[^"\\])*")|(?P<nu>-?\b\d[\d.eE+-]*)|(?P<k>\b(?:true|false|null)\b)'
)


def _coloured(rule: re.Pattern[str], text: str) -> Markup:
    parts: list[str] = []
    at = 0
    for match in rule.finditer(text):
        parts.append(escape(text[at : match.start()]))
        parts.append(f'<span class="{match.lastgroup}">{escape(match.group())}</span>')
        at = match.end()
    parts.append(escape(text[at:]))
    return Markup("".join(parts))  # noqa: S704 (every piece was escaped)


def javascript(text: str, limit: int = 2000) -> Markup:
    """Return an expression with syntax colours, cut to `limit` characters."""
    return _coloured(_JAVASCRIPT, text[:limit])


def json_text(text: str, limit: int = 65_536) -> Markup:
    """Return a body, indented and coloured when it is JSON, else as it is."""
    if len(text) <= limit:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return escape(text)
        return _coloured(_JSON, text)
    return escape(text[:limit])
