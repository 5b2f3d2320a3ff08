"""Words, numbers and times in one of the two languages.

Used by every page and by the live streams. The texts stand in `web/texts/{code}.toml`; both files have the same keys.
Nothing here knows a request or the database.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

from hookyard.core.clock import iso
from hookyard.core.message_catalog import Message
from hookyard.web.pages.messages import chinese

TEXTS = Path(__file__).resolve().parent.parent / "texts"
CODES = ("en", "zh-CN")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Language:
    """One language as one reader sees it.

    Attributes:
        code: `en` or `zh-CN`, as in the `lang` attribute.
        texts: Every text by its dotted key.
        zone: The reader's time zone.
        now: The time of the page, seconds since the epoch.
    """

    code: str
    texts: Mapping[str, str]
    zone: ZoneInfo
    now: float

    @property
    def chinese(self) -> bool:
        """Whether it is the Chinese one."""
        return self.code == "zh-CN"

    @property
    def comma(self) -> str:
        """What stands between the parts of an enumeration."""
        return "，" if self.chinese else ", "

    @property
    def colon(self) -> str:
        """What stands between a thing and what is said of it."""
        return "：" if self.chinese else ": "

    def t(self, key: str, **values: object) -> Markup:
        """Return a text with its values. Of `one | many`, the first is used when `n` is 1.

        Raises:
            KeyError: There is no such text.
        """
        text = self.texts[key]
        if " | " in text:
            one, many = text.split(" | ", 1)
            text = one if values.get("n") == 1 else many
        if not values:
            return _safe(text)
        # Not `Markup.format`, which takes the text apart in Python at every call.
        shown = {name: escape(self.number(v) if isinstance(v, int | float) else v) for name, v in values.items()}
        return Markup(str(_safe(text)).format(**shown))  # noqa: S704 (the text and every value are escaped)

    def has(self, key: str) -> bool:
        """Return whether a text exists, for names from outside (statuses, kinds, units)."""
        return key in self.texts

    def word(self, group: str, name: str) -> Markup:
        """Return the text `group.name`, or the name itself where the group does not have it."""
        key = f"{group}.{name}"
        return self.t(key) if key in self.texts else escape(name)

    def message(self, message: str) -> Markup:
        """Return another package's message (an error, a reason, a note) in the reader's language."""
        stored = Message.loads(message)
        if stored.code:
            return escape(stored.sentence(self.code))
        return escape((chinese(message) if self.chinese else None) or message)

    # -- numbers -----------------------------------------------------------------------------------------------------

    def number(self, value: float) -> str:
        """Return a number with thousands separated: `18,412`."""
        return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"

    def up_to(self, count: int, limit: int) -> int | str:
        """Return a count that was not taken further than a limit: itself, or `1,000+`."""
        return count if count < limit else f"{self.number(limit)}+"

    def short(self, value: float) -> str:
        """Return a short form for plots and narrow columns: `6.0 k`, `4.2 M`."""
        for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= limit:
                return f"{value / limit:.1f} {unit}"
        return f"{value:g}"

    def percent(self, part: float, whole: float) -> str:
        """Return `95.1%`, or a dash when there is no whole."""
        if not whole:
            return "–"
        share = 100 * part / whole
        return "100%" if share == 100 else f"{share:.1f}%"

    def size(self, count: int) -> str:
        """Return bytes as `214 B`, `1.2 kB`."""
        return f"{count} B" if count < 1000 else f"{self.short(count)}B"

    def money(self, dollars: float) -> str:
        """Return US dollars as `$0.0132`, `$4.20`."""
        return f"${dollars:.4f}" if dollars < 0.1 else f"${dollars:,.2f}"

    def lasting(self, seconds: float | None) -> str:
        """Return a duration for columns: `38 ms`, `2.9 s`, `1 min 48 s`, `2 h 5 min`."""
        if seconds is None:
            return "–"
        if seconds < 0.9995:
            return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 or not seconds else f"{seconds * 1000:.1f} ms"
        if seconds < 59.95:
            return f"{seconds:.1f} s"
        whole = round(seconds)
        minute, second, hour, day = (" 分 ", " 秒", " 小时 ", " 天 ") if self.chinese else (" min ", " s", " h ", " d ")
        if whole < _HOUR:
            rest = whole % 60
            return f"{whole // 60}{minute}{rest:02d}{second}" if rest else f"{whole // 60}{minute}".rstrip()
        if whole < _DAY:
            rest = whole % _HOUR // 60
            return f"{whole // _HOUR}{hour}{rest}{minute}".rstrip() if rest else f"{whole // _HOUR}{hour}".rstrip()
        return f"{whole // _DAY}{day}{whole % _DAY // _HOUR}{hour}".rstrip()

    def offset(self, seconds: float) -> str:
        """Return a position in a timeline: `3.1 s`, `1:31`, `1:02:10`."""
        if seconds < 59.95:
            return f"{max(0.0, seconds):.1f} s"
        whole = int(seconds)
        if whole < _HOUR:
            return f"{whole // 60}:{whole % 60:02d}"
        return f"{whole // _HOUR}:{whole % _HOUR // 60:02d}:{whole % 60:02d}"

    # -- times -------------------------------------------------------------------------------------------------------

    def exact(self, at: float) -> str:
        """Return a time to the millisecond, with the zone: `2026-11-21 09:44:02.113 CET`."""
        local = datetime.fromtimestamp(at, self.zone)
        return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {local.tzname()}"

    def clock(self, at: float) -> str:
        """Return the time of day: `09:52:11`."""
        return f"{datetime.fromtimestamp(at, self.zone):%H:%M:%S}"

    def hour(self, at: float) -> str:
        """Return hours and minutes: `09:52`."""
        return f"{datetime.fromtimestamp(at, self.zone):%H:%M}"

    def next_round(self, at: float, step: float) -> float:
        """Return the first multiple of `step` seconds (at most a day) on the reader's clock from `at` on."""
        offset = datetime.fromtimestamp(at, self.zone).utcoffset() or timedelta()
        ahead = offset.total_seconds()
        return math.ceil((at + ahead) / step) * step - ahead

    def date(self, at: float) -> str:
        """Return the day, with the year when it is another one: `Nov 18`, `11 月 18 日`."""
        local, today = datetime.fromtimestamp(at, self.zone), datetime.fromtimestamp(self.now, self.zone)
        if self.chinese:
            day = f"{local.month} 月 {local.day} 日"
            return day if local.year == today.year else f"{local.year} 年 {day}"
        day = f"{local:%b} {local.day}"
        return day if local.year == today.year else f"{day}, {local.year}"

    def day(self, at: float) -> str:
        """Return a heading for the things of one day: `Today`, `Yesterday`, `Nov 18`."""
        then = datetime.fromtimestamp(at, self.zone).date()
        days = (datetime.fromtimestamp(self.now, self.zone).date() - then).days
        if days in (0, 1):
            return str(self.t("time.today" if days == 0 else "time.yesterday"))
        return self.date(at)

    def ago_text(self, at: float) -> str:
        """Return how long ago a time is, up to a day; then the date."""
        seconds = self.now - at
        if seconds >= _DAY or seconds < -_MINUTE:
            return self.date(at)
        if seconds < 10:
            return str(self.t("time.now"))
        for unit, length in (("second", 1), ("minute", _MINUTE), ("hour", _HOUR)):
            if seconds < length * 60 or unit == "hour":
                return str(self.t(f"time.{unit}", n=int(seconds // length)))
        raise AssertionError

    def ago(self, at: float | None) -> Markup:
        """Return how long ago a time is as an element: exact on hover, updated by `clock.js`."""
        if at is None:
            return Markup("–")
        return Markup(  # noqa: S704 (numbers and our own words)
            f'<time datetime="{iso(at)}" title="{self.exact(at)}" data-ago>{self.ago_text(at)}</time>'
        )

    def moment(self, at: float) -> Markup:
        """Return the day and the time of day as an element: `Nov 21, 09:44:02`."""
        comma = " " if self.chinese else ", "
        return Markup(  # noqa: S704 (numbers and our own words)
            f'<time datetime="{iso(at)}" title="{self.exact(at)}">{self.date(at)}{comma}{self.clock(at)}</time>'
        )


@cache
def _safe(text: str) -> Markup:
    return escape(text)


@cache
def texts(code: str) -> Mapping[str, str]:
    """Return every text of a language by its dotted key."""
    table = tomllib.loads((TEXTS / f"{code}.toml").read_text(encoding="utf-8"))
    flat: dict[str, str] = {}

    def walk(part: Mapping[str, object], prefix: str) -> None:
        for name, value in part.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = str(value)

    walk(table, "")
    return flat


@cache
def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name; UTC when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def language(code: str, zone_name: str = "UTC", now: float | None = None) -> Language:
    """Return a language for one page."""
    moment = datetime.now(UTC).timestamp() if now is None else now
    return Language(code, texts(code), zone(zone_name), moment)


def preferred(accept_language: str) -> str:
    """Return the best of the two languages for an `Accept-Language` header; English when it names neither."""
    best, weight = "en", 0.0
    for position, part in enumerate(accept_language[:500].split(",")):
        tag, _, parameter = part.strip().partition(";")
        try:
            quality = float(parameter.partition("q=")[2] or 1)
        except ValueError:
            quality = 0.0
        primary = tag.lower().partition("-")[0]
        code = {"zh": "zh-CN", "en": "en"}.get(primary)
        if code and quality - position / 1000 > weight:
            best, weight = code, quality - position / 1000
    return best
