"""`/settings`: what administrators change at run time, by dotted names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from hookyard.settings import LIVE, LiveSettings
from hookyard.web.api.access import Administrator, ServicesDep
from hookyard.web.api.bodies import JsonObject

router = APIRouter(tags=["settings"])


@router.get("/settings")
async def get_settings(services: ServicesDep, _admin: Administrator) -> dict[str, Any]:
    """Return every setting's value by its dotted name."""
    return dict(services.live.current.values)


@router.patch("/settings")
async def change_settings(
    services: ServicesDep,
    admin: Administrator,
    body: Annotated[
        JsonObject,
        Body(description="New values by dotted name, null = the default; all are taken or none."),
    ],
) -> dict[str, Any]:
    """Change settings; in effect within 2 seconds on every server. One that the environment or the settings file fixes
    is refused with 409 and the place that fixes it."""
    return dict((await services.live.change(body, by=admin.user_name)).values)


@router.get("/settings/details")
async def get_setting_details(services: ServicesDep, _admin: Administrator) -> dict[str, Any]:
    """Return every setting with its meaning, default, bounds, and the place that pins it, if one does."""
    return {"items": details(services.live.current), "nextCursor": None}


def details(live: LiveSettings) -> list[dict[str, Any]]:
    """Return the settings with everything that is known about them."""
    return [
        {
            "name": setting.name,
            "value": live.values[setting.name],
            "default": setting.default,
            "minimum": setting.minimum,
            "maximum": setting.maximum,
            "unit": setting.unit,
            "fixedBy": live.pinned.get(setting.name),
            "variable": setting.variable,
            "description": {"en": setting.help_en, "zh-CN": setting.help_zh},
        }
        for setting in LIVE.values()
    ]
