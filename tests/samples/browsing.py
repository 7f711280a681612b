"""A headless Chromium for tests, driven by Playwright: one a process, a profile of its own for every page, no network.

Whatever a page writes to the console, throws, fails to load or asks for fails the test that opened it, and so do a
chart that was not drawn, a script from outside that ran and a page that is wider than its screen.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


def chromium() -> str | None:
    """Path of a Chromium to test with: EMBARGO_CHROMIUM, else the first one on the path; None if there is none."""
    named = os.environ.get("EMBARGO_CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((path for path in map(shutil.which, names) if path), None)


CHROMIUM = chromium()
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no headless Chromium; install one or set EMBARGO_CHROMIUM"),
]
# What axe-core looks at: WCAG 2.0 and 2.1 up to AA, and what its makers hold for good practice.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
# Boxes that scroll by themselves, charts, and what only screen readers get may be wider than the screen.
APART = ".scroll, svg, .unseen, pre"
_ESCAPING = """apart => [...document.querySelectorAll("main *, header *, .stamp *")]
  .filter((part) => !part.closest(apart))
  .filter((part) => part.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((part) => part.outerHTML.slice(0, 120))"""

# Contrast hangs on colour, ground and size, and takes axe-core most of its time: one text of each look is asked.
_AXE = """async tags => {
  const options = {resultTypes: ["violations"], preload: false};
  const rules = {runOnly: {type: "tag", values: tags}, rules: {"color-contrast": {enabled: false}}};
  const found = tags.length ? (await axe.run(document, {...options, ...rules})).violations : [];
  const grounds = (part) => {
    const own = part === null ? "" : getComputedStyle(part).backgroundColor;
    return own === "" || own.startsWith("rgb(") ? own : `${own} ${grounds(part.parentElement)}`;
  };
  const looks = new Map(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text !== null; text = texts.nextNode()) {
    const part = text.parentElement;
    if (!text.data.trim() || part.closest("svg, .unseen, script") || !part.getClientRects().length) continue;
    const {color, fontSize, fontWeight, opacity} = getComputedStyle(part);
    looks.set([color, grounds(part), fontSize, fontWeight, opacity].join(), part);
  }
  if (looks.size < 10) throw new Error(`only ${looks.size} kinds of text were found`);
  const rule = {type: "rule", values: ["color-contrast"]};
  const contrast = await axe.run({include: [...looks.values()]}, {...options, runOnly: rule});
  return [...found, ...contrast.violations];
}"""


class Visit:
    """Opens pages, one at a time and each in a context of its own."""

    def __init__(self, browser: Browser, loop: asyncio.AbstractEventLoop) -> None:
        self._browser, self._loop = browser, loop

    @contextmanager
    def __call__(
        self, page: Path, width: int, *, height: int = 900, theme: Literal["light", "dark"] = "light"
    ) -> Iterator[Page]:
        """Open a page from its file, give it once its charts are drawn, and hold it to what every page promises."""
        address, faults = page.absolute().as_uri(), []
        with _running(self._loop):
            size: Any = {"width": width, "height": height}
            context = self._browser.new_context(viewport=size, color_scheme=theme, offline=True)
            try:
                _watched(context, address, faults)
                shown = context.new_page()
                shown.goto(address)
                shown.wait_for_selector('html[data-charts="ready"]', state="attached")
                yield shown
                failed = 'figure[data-chart]:not([data-drawn="yes"])'
                assert shown.eval_on_selector_all(failed, "all => all.map((figure) => figure.dataset.chart)") == []
                assert not shown.evaluate("'injected' in window")
                assert_fits(shown)
            except Exception as error:
                if faults:
                    error.add_note("\n".join(["The page:", *faults]))
                raise
            finally:
                context.close()
        assert faults == []


def _watched(context: BrowserContext, address: str, faults: list[str]) -> None:
    """Cut the context off from everything but files, and write down whatever it should not do."""
    context.route(lambda url: not url.startswith("file:"), lambda route: route.abort())
    context.on("console", lambda line: faults.append(f"console ({line.type}): {line.text}"))
    context.on("weberror", lambda thrown: faults.append(f"thrown: {thrown.error}"))
    context.on("requestfailed", lambda request: faults.append(f"failed: {request.url} {request.failure}"))
    context.on("request", lambda asked: None if asked.url == address else faults.append(f"asked for: {asked.url}"))


@contextmanager
def _running(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Mark Playwright's loop as running while it is used and no longer: other tests run loops in this thread too."""
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(None)


@contextmanager
def browsing() -> Iterator[Visit]:
    """Start the browser and the driver that speaks to it; both end with the block."""
    from playwright.sync_api import sync_playwright

    driver = sync_playwright().start()
    loop = asyncio.get_running_loop()
    try:
        # Chromium keeps what its pages share in memory, where a container has little; the driver turns that off itself.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--host-resolver-rules=MAP * ~NOTFOUND"])
        asyncio._set_running_loop(None)
        yield Visit(browser, loop)
        asyncio._set_running_loop(loop)
        browser.close()
    finally:
        asyncio._set_running_loop(loop)
        driver.stop()
        asyncio._set_running_loop(None)


def assert_fits(page: Page, apart: str = APART) -> None:
    """Nothing of the page is wider than its screen, but for what is apart."""
    width, needed = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
    escaping = page.evaluate(_ESCAPING, apart)
    assert width == page.viewport_size["width"]  # type: ignore[index]
    assert needed <= width, escaping
    assert escaping == []


def unfold(page: Page) -> None:
    """Open all that is folded."""
    page.eval_on_selector_all("details", "all => { for (const part of all) part.open = true; }")


def style(page: Page, selector: str, name: str, pseudo: str | None = None) -> list[str]:
    """Return what the browser made of a property, for everything that the selector finds."""
    look = "(all, [name, pseudo]) => all.map((part) => getComputedStyle(part, pseudo)[name])"
    found: list[str] = page.eval_on_selector_all(selector, look, [name, pseudo])
    return found


def violations(page: Page, tags: tuple[str, ...] = TAGS) -> list[str]:
    """Return what axe-core objects to: rule, gravity and the first places; without tags contrast alone is looked at."""
    from axe_playwright_python.base import AXE_SCRIPT

    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
    return [
        f"{one['id']} ({one['impact']}): " + "; ".join(str(node["html"])[:160] for node in one["nodes"][:3])
        for one in page.evaluate(_AXE, list(tags))
    ]
