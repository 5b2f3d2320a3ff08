"""Every page in every look, to be looked at one by one: `uv run python -m scripts.gallery FOLDER`.

Starts the product with sample data on a free port and photographs each page in Chromium: light, dark and as a phone,
in both languages. The pictures of the documentation are made by `scripts.screenshots`, from a story that happened.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from scripts.sample_data import Sample
from tests.pages.conftest import ARGUMENTS, CHROMIUM, every_path
from tests.pages.environment import PagesEnvironment, world

WIDE, PHONE = (1280, 860), (390, 844)


def take(
    browser: Browser,
    started: PagesEnvironment,
    path: str,
    to: Path,
    *,
    language: str,
    theme: str,
    size: tuple[int, int],
    whole: bool,
) -> None:
    """One picture."""
    phone = size[0] < 500
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if theme == "dark" else "light",
        locale=language, is_mobile=phone, has_touch=phone, timezone_id="Asia/Shanghai", reduced_motion="reduce",
        device_scale_factor=1 if whole else 1.5,
    )  # fmt: skip
    if not path.startswith("/sign-in"):
        for name, value in (("hookyard_session", started.member), ("hookyard_zone", "Asia/Shanghai")):
            context.add_cookies([{"name": name, "value": value, "url": started.url}])
    page = context.new_page()
    page.goto(started.url + path, wait_until="load")
    page.wait_for_timeout(250)
    if whole:  # as tall as what there is, so that what sticks to an edge of the window is at that edge
        tall = page.evaluate("() => Math.min(6000, document.documentElement.scrollHeight)")
        page.set_viewport_size({"width": size[0], "height": max(size[1], tall)})
    page.screenshot(path=to)
    context.close()


def every(browser: Browser, started: PagesEnvironment, directory: Path, only: str = "") -> int:
    """Every page in every look; how many."""
    count = 0
    looks = [("light", WIDE), ("dark", WIDE), ("light", PHONE)]
    for sample in started.samples.values():
        for theme, size in looks:
            for path in ["/sign-in", *every_path(sample)]:
                name = re.sub(r"\W+", "-", path.removeprefix(f"/w/{sample.workspace}/"))[:60].strip("-")
                look = "phone" if size is PHONE else theme
                to = directory / f"{sample.language}-{look}-{name}.png"
                if only not in to.name:
                    continue
                take(browser, started, path, to, language=sample.language, theme=theme, size=size, whole=True)
                count += 1
    return count


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--only", default="", help="pages whose picture's name holds this")
    given = parser.parse_args()
    if CHROMIUM is None:
        print("no Chromium here: apt-get install chromium fonts-noto-cjk", file=sys.stderr)
        return 1
    now = time.time()
    samples = (Sample(now), Sample(now, "zh-CN", "zhifu", seed=3))
    with tempfile.TemporaryDirectory() as data, world(Path(data), *samples) as started, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        # The reader of the pictures is a member of both workspaces who may see everything.
        member = samples[0].user_ids[0]
        started.call(started.services.accounts.change(member, is_admin=True))  # type: ignore[arg-type]
        given.folder.mkdir(parents=True, exist_ok=True)
        print(f"{every(browser, started, given.folder, given.only)} pictures in {given.folder}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
