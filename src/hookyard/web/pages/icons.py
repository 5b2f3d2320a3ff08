"""The icons: one 16 × 16 drawing each, ours. Used by the frame template as one sprite a page."""

from __future__ import annotations

from markupsafe import Markup

_ROUND = '<circle cx="8" cy="8" r="6.2" fill="currentColor" stroke="none" opacity=".16"/>'

ICONS = {
    "agent": '<path d="M8 1.8 9.5 6.5 14.2 8 9.5 9.5 8 14.2 6.5 9.5 1.8 8 6.5 6.5Z"/>',
    "arrow": '<path d="M3 8H13M9.2 4.2 13 8 9.2 11.8"/>',
    "board": '<rect x="2.2" y="2.5" width="11.6" height="11" rx="2"/><path d="M6.1 2.5V13.5M9.9 2.5V13.5"/>',
    "bolt": '<path d="M9 1.8 3.6 9H7.6L7 14.2 12.4 7H8.4Z"/>',
    "chart": '<path d="M2.5 13.5V8.5M6.2 13.5V3M9.8 13.5V6.5M13.5 13.5V10"/>',
    "check": '<path d="M3.2 8.4 6.5 11.6 12.8 4.6" stroke-width="1.8"/>',
    "clock": '<circle cx="8" cy="8" r="6.2"/><path d="M8 4.6V8L10.3 9.5"/>',
    "code": '<path d="M5.6 4.6 2.2 8 5.6 11.4M10.4 4.6 13.8 8 10.4 11.4"/>',
    "comment": '<path d="M2.2 3.2H13.8V11.2H8.2L5 13.8V11.2H2.2Z"/>',
    "copy": '<rect x="5.4" y="5.4" width="8" height="8.4" rx="1.6"/>'
    '<path d="M10.6 3.2A1.4 1.4 0 0 0 9.2 2.2H4A1.6 1.6 0 0 0 2.4 3.8V9A1.4 1.4 0 0 0 3.4 10.4"/>',
    "cross": '<path d="M4.4 4.4 11.6 11.6M11.6 4.4 4.4 11.6"/>',
    "denied": '<path d="M5.4 1.8H10.6L14.2 5.4V10.6L10.6 14.2H5.4L1.8 10.6V5.4Z"/>'
    '<path d="M4.8 8H11.2" stroke-width="1.8"/>',
    "door": '<path d="M9.5 2.2H3.2V13.8H9.5M6.6 8H14M11.4 5.2 14.2 8 11.4 10.8"/>',
    "down": '<path d="M4.5 6.3 8 9.8 11.5 6.3"/>',
    "failed": _ROUND + '<path d="M5.7 5.7 10.3 10.3M10.3 5.7 5.7 10.3" stroke-width="1.7"/>',
    "file": '<path d="M3.6 1.8H9.4L12.6 5V14.2H3.6Z"/><path d="M6 7.6H10.2M6 10.4H10.2"/>',
    "filter": '<path d="M2.4 4H13.6M4.6 8H11.4M6.8 12H9.2"/>',
    "hook": '<path d="M11 2.2V9.3A3.7 3.7 0 1 1 3.6 9.3V8L5.6 10M11 2.2A1 1 0 1 0 11 2.1"/>',
    "idle": '<circle cx="8" cy="8" r="5.6" stroke-dasharray="2 2.4"/><path d="M5.6 8H10.4"/>',
    "key": '<circle cx="5.2" cy="10.8" r="3"/><path d="M7.4 8.6 13.4 2.6M11 5 13 7"/>',
    "keyboard": '<rect x="1.6" y="3.8" width="12.8" height="8.4" rx="1.6"/>'
    '<path d="M4.2 6.6H4.3M6.7 6.6H6.8M9.2 6.6H9.3M11.7 6.6H11.8M5.4 9.5H10.6"/>',
    "late": _ROUND + '<path d="M8 4.4V8L10.2 9.6" stroke-width="1.7"/>',
    "link": '<path d="M6.6 9.4 9.4 6.6M7.4 4.6 8.8 3.2A2.9 2.9 0 0 1 12.8 7.2L11.4 8.6'
    'M8.6 11.4 7.2 12.8A2.9 2.9 0 0 1 3.2 8.8L4.6 7.4"/>',
    "list": '<path d="M5.6 4H13.8M5.6 8H13.8M5.6 12H13.8M2.3 4H2.4M2.3 8H2.4M2.3 12H2.4"/>',
    "merge": '<path d="M3 3V5.4A3 3 0 0 0 6 8.4H13M13 3H9.4M10.4 5.6 13.2 8.4 10.4 11.2M3 13.8V11"/>',
    "moon": '<path d="M13.2 9.6A5.8 5.8 0 0 1 6.4 2.8 5.8 5.8 0 1 0 13.2 9.6Z"/>',
    "more": '<path d="M3.6 8H3.7M8 8H8.1M12.3 8H12.4" stroke-width="2.2"/>',
    "ok": _ROUND + '<path d="M5 8.3 7.2 10.4 11 5.9" stroke-width="1.7"/>',
    "pause": '<path d="M5.4 3.2V12.8M10.6 3.2V12.8" stroke-width="1.8"/>',
    "pen": '<path d="M2.5 13.5 3.2 10.4 10.9 2.7A1.5 1.5 0 0 1 13.2 5L5.5 12.8Z"/>',
    "people": '<circle cx="6" cy="5.4" r="2.4"/><path d="M1.8 13.2C2 10.7 3.7 9.4 6 9.4S10 10.7 10.2 13.2'
    'M10.4 3.2A2.3 2.3 0 0 1 10.6 7.6M12 9.7C13.4 10.2 14.1 11.4 14.2 13.2"/>',
    "play": '<circle cx="8" cy="8" r="6.2"/><path d="M6.6 5.5 10.4 8 6.6 10.5Z"/>',
    "plus": '<path d="M8 3V13M3 8H13"/>',
    "pulse": '<path d="M1.8 8H4.4L6.3 3 9.5 13 11.5 8H14.2"/>',
    "queued": '<circle cx="8" cy="8" r="5.6"/><path d="M5.7 8H5.8M8 8H8.1M10.3 8H10.4" stroke-width="1.9"/>',
    "retry": '<path d="M13.4 3.2V6.6H10M13.2 6.4A5.6 5.6 0 1 0 13.6 9"/>',
    "right": '<path d="M6.3 4.5 9.8 8 6.3 11.5"/>',
    "running": '<circle cx="8" cy="8" r="5.6" opacity=".28"/>'
    '<path d="M8 2.4A5.6 5.6 0 0 1 13.6 8" stroke-width="1.9"/>',
    "search": '<circle cx="7" cy="7" r="4.4"/><path d="M10.3 10.3 13.6 13.6"/>',
    "send": '<path d="M2.2 7.4 13.8 2.4 9.6 13.8 7.4 8.8Z"/>',
    "settings": '<path d="M2 4.5H8.4M12.2 4.5H14M2 11.5H3.8M7.6 11.5H14"/>'
    '<circle cx="10.3" cy="4.5" r="1.9"/><circle cx="5.7" cy="11.5" r="1.9"/>',
    "sun": '<circle cx="8" cy="8" r="2.8"/><path d="M8 1.6V3M8 13V14.4M1.6 8H3M13 8H14.4'
    'M3.5 3.5 4.5 4.5M11.5 11.5 12.5 12.5M12.5 3.5 11.5 4.5M4.5 11.5 3.5 12.5"/>',
    "tasks": '<path d="M3 4.5 4.2 5.7 6.4 3.3M8.5 4.5H13.5M3 11.2 4.2 12.4 6.4 10M8.5 11.2H13.5"/>',
    "template": '<rect x="2.2" y="2.2" width="11.6" height="11.6" rx="2"/><path d="M2.2 6.2H13.8M6.4 6.2V13.8"/>',
    "terminal": '<rect x="1.8" y="2.6" width="12.4" height="10.8" rx="2"/>'
    '<path d="M4.6 6 6.6 8 4.6 10M8.4 10.2H11.2"/>',
    "trash": '<path d="M2.8 4.4H13.2M6.2 4.4V2.6H9.8V4.4M4.2 4.4 4.9 13.6H11.1L11.8 4.4"/>',
    "up": '<path d="M8 13V3.4M4.4 7 8 3.4 11.6 7"/>',
    "updown": '<path d="M5 6 8 3 11 6M5 10 8 13 11 10"/>',
    "warn": '<path d="M8 2.2 14.4 13.4H1.6Z"/><path d="M8 6.6V9.4M8 11.3V11.4"/>',
}


def sprite() -> Markup:
    """Return all icons, to be included once on a page; `<use href="#i-NAME"/>` shows one."""
    symbols = "".join(
        f'<symbol id="i-{name}" viewBox="0 0 16 16">{drawing}</symbol>' for name, drawing in ICONS.items()
    )
    return Markup(f'<svg width="0" height="0" class="sr" aria-hidden="true">{symbols}</svg>')  # noqa: S704 (constants only)
