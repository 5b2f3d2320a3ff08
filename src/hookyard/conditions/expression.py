"""What can be said of a condition by reading it, without an engine: which variables of `ctx` it reads, and what it uses
that behaves otherwise here than in a browser.

Used by `conditions` (warnings on saving) and by `intake.match` and `intake.merge` (`reads_batch`: whether a condition
is judged on the merged event). A reader of tokens, no parser: what it cannot see, such as `ctx[name]`, it does not
claim.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from hookyard.events.catalog import BATCH

SPACE = " \t\n\r\v\f\u00a0\ufeff\u2028\u2029"
"""White space of JavaScript, the rare Unicode spaces left out."""

LOCALE = frozenset({"localeCompare", "toLocaleString", "toLocaleDateString", "toLocaleTimeString"})
"""Methods that need Intl to behave as in a browser. (`toLocaleUpperCase` does not without a locale.)"""

_BATCH_NAMES = frozenset(v.name for v in BATCH)
_INHERITED = frozenset({"constructor", "hasOwnProperty", "toLocaleString", "toString", "valueOf", "__proto__"})
_TOKEN = re.compile(
    r"""
    (?P<skip> [\s\ufeff]+ | //[^\n\r\u2028\u2029]* | /\*.*?\*/ )
  | (?P<string> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' )
  | (?P<word> (?:[\w$\u0080-\U0010ffff]|\\u[0-9a-fA-F]{4}|\\u\{[0-9a-fA-F]+\})+ )
  | (?P<mark> \?\.(?!\d) | \.\.\. | [^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)
_TEMPLATE_TEXT = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*", re.DOTALL)
_REGEXP = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/\w*")
_ESCAPE = re.compile(r"\\u\{([0-9a-fA-F]{1,6})\}|\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_BEFORE_REGEXP = frozenset({*"(,=:[!&|?{};+-*%<>~^", "return", "typeof", "in", "of"})


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression.

    Attributes:
        kind: `word`, `string`, `text` (of a template or regular expression) or `mark`.
        text: As written, escapes of words undone; of a string its content.
        at: Index of its first character.
    """

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What an expression uses.

    Attributes:
        variables: Variables of `ctx` that it names, each with the index of its first use.
        locale: Methods that depend on a locale, each with the index of its first use.
        alone: Words that stand alone, as a name does, each with the index of its first use; none where the expression
            has functions of its own, whose parameters do so too.
    """

    variables: dict[str, int]
    locale: dict[str, int]
    alone: dict[str, int]


def normal(expression: str) -> str:
    """Return the expression without the white space and one `;` at its end, so that positions stay the same; `""` =
    always."""
    text = expression.rstrip(SPACE)
    if text.endswith(";"):
        text = text[:-1].rstrip(SPACE) or text
    return text


@lru_cache(maxsize=4096)
def read(expression: str) -> Reading:
    """Return what an expression uses."""
    tokens = _tokens(expression)
    variables: dict[str, int] = {}
    locale: dict[str, int] = {}
    alone: dict[str, int] = {}
    for i, token in enumerate(tokens):
        if token.kind == "word" and token.text in LOCALE and i and tokens[i - 1].text in (".", "?."):
            locale.setdefault(token.text, token.at)
        if _stands_alone(tokens, i):
            alone.setdefault(token.text, token.at)
        if token.text != "ctx" or token.kind != "word" or (i and tokens[i - 1].text in (".", "?.")):
            continue
        for name, at in (*_member(tokens, i), *_destructured(tokens, i)):
            if name not in _INHERITED:
                variables.setdefault(name, at)
    has_functions = any(token.kind == "word" and token.text == "function" for token in tokens) or any(
        first.text == "=" and second.text == ">" for first, second in pairwise(tokens)
    )
    return Reading(variables, locale, {} if has_functions else alone)


def reads_batch(expression: str) -> bool:
    """Return whether a condition reads a merged event's variables, and so is judged on the merged event."""
    return not _BATCH_NAMES.isdisjoint(read(expression).variables)


def _stands_alone(tokens: list[Token], i: int) -> bool:
    """Return whether a token is a name that is neither a member nor a key."""
    before, after = tokens[i - 1] if i else None, tokens[i + 1] if i + 1 < len(tokens) else None
    return (
        tokens[i].kind == "word"
        and not tokens[i].text[:1].isdigit()
        and (before is None or before.kind != "mark" or before.text not in (".", "?."))
        and (after is None or after.kind != "mark" or after.text != ":")
    )


def _member(tokens: list[Token], i: int) -> list[tuple[str, int]]:
    """Match `ctx.name`, `ctx?.name`, `ctx['name']` and `ctx?.['name']`."""
    following = tokens[i + 1 : i + 5]
    if following and following[0].text == "?." and len(following) > 1 and following[1].text == "[":
        following = following[1:]
    if len(following) > 1 and following[0].kind == "mark":
        if following[0].text in (".", "?.") and following[1].kind == "word":
            return [(following[1].text, following[1].at)]
        if following[0].text == "[" and following[1].kind == "string" and following[2:3] and following[2].text == "]":
            return [(following[1].text, following[1].at)]
    return []


def _destructured(tokens: list[Token], i: int) -> list[tuple[str, int]]:
    """Match `({name, other: alias}) => …)(ctx)`: the first pattern of a function that is called with `ctx` alone."""
    if not (i >= 2 and tokens[i - 1].text == "(" and tokens[i - 2].text == ")" and tokens[i + 1 : i + 2]):
        return []
    depth = 0
    for start in range(i - 2, -1, -1):
        depth += {")": 1, "(": -1}.get(tokens[start].text, 0) if tokens[start].kind == "mark" else 0
        if depth == 0:
            break
    opening = next((k for k in range(start, i) if tokens[k].text == "{" and tokens[k].kind == "mark"), None)
    if opening is None or opening > start + 2 or tokens[opening - 1].text != "(":
        return []
    names = []
    for k in range(opening + 1, i):
        if tokens[k].text == "}" and tokens[k].kind == "mark":
            break
        if tokens[k].kind in ("word", "string") and tokens[k - 1].text in ("{", ","):
            names.append((tokens[k].text, tokens[k].at))
    return names


def _tokens(expression: str) -> list[Token]:
    tokens: list[Token] = []
    braces: list[bool] = []  # open braces; True = of a template's `${`
    at = 0
    while at < len(expression):
        if expression[at] == "/" and _may_begin_regexp(tokens) and (found := _REGEXP.match(expression, at)):
            tokens.append(Token("text", found.group(), at))
            at = found.end()
            continue
        if expression[at] == "`" or (expression[at] == "}" and braces and braces[-1]):
            if expression[at] == "}":
                braces.pop()
            at = _template_text(expression, at, tokens, braces)
            continue
        found = _TOKEN.match(expression, at)
        if found is None:
            break
        at = found.end()
        kind = found.lastgroup
        if kind == "skip" or kind is None:
            continue
        text = found.group()
        if kind == "mark" and text == "{":
            braces.append(False)
        elif kind == "mark" and text == "}" and braces:
            braces.pop()
        tokens.append(Token(kind, _unescaped(text[1:-1] if kind == "string" else text), found.start()))
    return tokens


def _template_text(expression: str, at: int, tokens: list[Token], braces: list[bool]) -> int:
    """Skip the text of a template from its backtick or the end of an insertion; where to go on."""
    found = _TEMPLATE_TEXT.match(expression, at + 1)
    end = found.end() if found else len(expression)
    tokens.append(Token("text", expression[at:end], at))
    if expression.startswith("${", end):
        braces.append(True)
        tokens.append(Token("mark", "(", end))
        return end + 2
    return end + 1


def _may_begin_regexp(tokens: list[Token]) -> bool:
    return not tokens or (tokens[-1].kind in ("mark", "word") and tokens[-1].text in _BEFORE_REGEXP)


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda m: chr(min(int(m[1] or m[2] or m[3], 16), 0x10FFFF)), text)
