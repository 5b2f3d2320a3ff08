"""Matchers: globs of tool names, and what no tool's name can be.

Used by `config.entry_keys` (a matcher that can never match is an error), by `webhook` (whom a gate applies to) and by
what shows which tools a gate covers. `*` and `?` stand for any characters and for one, `[…]` for one of some; nothing
else does.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from hookyard.hooks.points import POINTS, Point

SEPARATOR = "|"
_SHOWN_CHARS = 60
_NAME_MARKS = "-./:"
"""Marks that names of tools have besides letters, digits and `_`: `mcp__github__create_issue`, `fs/read-file`."""

_CLASS = re.compile(r"\[!?[^\[\]]+\]")
_SERVER = re.compile(r"mcp__(?:(?!__)[^*?\[])+(?:__)?", re.IGNORECASE)
_REGEX_LITERAL = re.compile(r"/(.+)/[a-z]*", re.DOTALL)


def matches(matcher: str, point: Point, tool_name: str | None) -> bool:
    """Return whether a tool's name fits one of the globs, whatever the case; true away from the tool points.

    A tool whose name is not known fits every matcher: a gate may not be passed by leaving the name out. Case does not
    count since agents write the same tool differently (`bash`, `Bash`).
    """
    return tool_name is None or not POINTS[point].for_tools or fits(matcher, tool_name)


def fits(matcher: str, tool_name: str) -> bool:
    """Return whether a tool's name fits one of the globs, whatever the case."""
    name = tool_name.lower()
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs_of(matcher.lower()))


def globs_of(matcher: str) -> list[str]:
    """Return the globs of a matcher without the blanks around them."""
    return [glob.strip() for glob in matcher.split(SEPARATOR)]


def covered(matcher: str | None, tools: Iterable[str]) -> list[str]:
    """Return the tools that a matcher fits, in their order; all of them without a matcher."""
    return [tool for tool in tools if matcher is None or fits(matcher, tool)]


def sample_tool(matcher: str | None, agents: Mapping[str, Sequence[str]], usual: str) -> str | None:
    """Return a tool to try a matcher with: the usual one where it fits, else the first known one that it fits.

    Args:
        matcher: The matcher, None = any tool.
        agents: The known tools of each agent.
        usual: The tool of samples.

    Returns:
        A tool's name; None when the matcher fits none that is known.
    """
    known = [tool for tools in agents.values() for tool in tools]
    return next(iter(covered(matcher, [usual, *known])), None)


def unknown_names(matcher: str, known: Iterable[str]) -> list[tuple[str, str | None]]:
    """Return the globs that fit no known tool, each with the known name that it resembles, if there is one.

    Names of MCP servers' tools are not known, so globs that look like one are left out.
    """
    tools = list(known)
    near = {tool.lower(): tool for tool in tools}
    found = []
    for glob in globs_of(matcher):
        if "mcp_" not in glob.lower() and "__" not in glob and not covered(glob, tools):
            close = difflib.get_close_matches(glob.lower(), near, n=1, cutoff=0.8)
            found.append((glob, near[close[0]] if close else None))
    return found


def names_server(glob: str) -> bool:
    """Return whether a glob is the name of an MCP server alone, `mcp__github`, which no tool has."""
    return _SERVER.fullmatch(glob) is not None


def fault_of(matcher: str) -> str | None:
    """Return why one of the globs can match no tool's name, with the fix; None when each can."""
    globs = globs_of(matcher)
    if not all(globs):
        return "has an empty pattern; give tool-name globs separated by |"
    for glob in globs:
        fault = _fault_of_glob(glob, matcher)
        if fault is not None:
            return fault
    return None


def _fault_of_glob(glob: str, matcher: str) -> str | None:
    shown = f"{glob[:_SHOWN_CHARS]!r}"
    why = next((why for found, why in _NEVER if found(glob)), None)
    if why is None:
        return None
    return f"{shown} matches no tool: {why}; {_fix(glob, matcher)}"


def _strange(glob: str) -> list[str]:
    """Return the characters that are neither a wildcard nor in any tool's name."""
    rest = _CLASS.sub("", glob)
    marks = "".join(_CLASS.findall(glob)).replace("[", "").replace("]", "").replace("!", "")
    return [letter for letter in rest + marks if letter not in "*?" and not is_of_name(letter)]


def is_of_name(letter: str) -> bool:
    """Return whether a character occurs in names of tools."""
    return letter in _NAME_MARKS or f"a{letter}".isidentifier()


def _dots(glob: str) -> bool:
    """Return whether a dot stands where only a regular expression has one."""
    return any(part in glob for part in (".*", ".?", "..")) or glob.endswith(".") or glob.startswith(".")


def _blank(glob: str) -> bool:
    return any(letter.isspace() for letter in glob)


def _rule(glob: str) -> bool:
    return "(" in glob and glob.endswith(")") and is_of_name(glob[0])


def _several(glob: str) -> bool:
    return any(letter in ",;，；、｜" for letter in glob)


_NEVER: tuple[tuple[Callable[[str], bool], str], ...] = (
    (_rule, "only its name is matched, not its arguments"),
    (_several, "commas and semicolons do not separate names"),
    (lambda glob: _REGEX_LITERAL.fullmatch(glob) is not None, "a matcher is no regular expression"),
    (lambda glob: any(letter in "^$()+\\{}" for letter in glob) or _dots(glob), "a matcher is no regular expression"),
    (_blank, "no tool's name has blanks"),
    (lambda glob: bool(_strange(glob)), "no tool's name has such characters"),
)
"""What can be in no tool's name, each with the reason; the first that applies is the one to tell."""


def _fix(glob: str, matcher: str) -> str:
    """Return what to write instead, as far as that can be known."""
    if _rule(glob):
        return f"use {glob[: glob.index('(')]!r} and judge the arguments where the webhook is answered"
    meant = _meant_by(matcher)
    if meant is not None:
        return f"use {meant!r}"
    return "separate names with | and use * for any characters, ? for one"


def _meant_by(matcher: str) -> str | None:
    """Return the globs that a matcher of another syntax stands for, None when they cannot be known."""
    if "[^" in matcher or "!" in matcher:  # everything but: no glob says that
        return None
    text = re.sub(r"\s*[,;，；、｜]\s*", SEPARATOR, matcher.strip())
    literal = _REGEX_LITERAL.fullmatch(text)
    text = re.sub(r"^\(\?[a-z]+\)", "", literal[1] if literal else text)
    text = text.replace("\\b", "").replace("^", "").replace("$", "")
    text = re.sub(r"(?<!\\)\.[*+]\??|\\w[*+]|\[[^\]]*\][*+]", "*", text)
    text = re.sub(r"\\([-._/])", r"\1", text)
    whole = re.fullmatch(r"(?:\?:)?(.*)", text)
    inner = re.fullmatch(r"\((?:\?:)?([^()]*)\)", whole[1] if whole else text)
    text = inner[1] if inner else text
    prefixed = re.fullmatch(r"([^()|]*)\((?:\?:)?([^()]*)\)([^()|]*)", text)
    if prefixed is not None:
        text = SEPARATOR.join(f"{prefixed[1]}{part}{prefixed[3]}" for part in prefixed[2].split(SEPARATOR))
    text = SEPARATOR.join(part.strip() for part in text.split(SEPARATOR) if part.strip())
    return text if _can_match(text) else None


def _can_match(matcher: str) -> bool:
    """Return whether each of the globs can match a tool's name."""
    globs = globs_of(matcher)
    return all(globs) and not any(found(glob) for glob in globs for found, _ in _NEVER)
