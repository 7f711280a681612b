"""A headless Chromium for tests: opened on one page at a time, offline, with what a probe saw read back."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


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
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--allow-file-access-from-files",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
)


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the browser with a profile of its own in the folder."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=True, cwd=folder)


# A window cannot be made as narrow as a telephone, a frame can; the probe writes what it sees into its own page.
PROBE = """<!doctype html><html><head><title>probe</title></head><body style="margin:0">
<iframe id="page" src="PAGE" style="border:0;width:WIDTHpx;height:900px"></iframe><pre id="seen"></pre>
<script>
const frame = document.getElementById("page");
const look = async () => {
  const view = frame.contentWindow, inner = frame.contentDocument, root = inner.documentElement;
  const all = (selector) => [...inner.querySelectorAll(selector)];
  const pause = (time) => new Promise((go) => setTimeout(go, time));
  const charts = (tell) => Object.fromEntries(
    all("figure[data-chart]").map((figure) => [figure.dataset.chart, tell(figure)]));
  const escaping = (apart = ".scroll, svg, .unseen") => all("main *, header *, .stamp *")
    .filter((part) => !part.closest(apart))
    .filter((part) => part.getBoundingClientRect().right > root.clientWidth + 1)
    .map((part) => part.outerHTML.slice(0, 120));
  for (let wait = 0; wait < 200 && root.dataset.charts !== "ready"; wait += 1) await pause(50);
  const seen = {
    ready: root.dataset.charts, width: root.clientWidth, needed: root.scrollWidth,
    charts: charts((figure) => figure.dataset.drawn),
  };
  LOOK
  seen.injected = view.injected === undefined ? "no" : "yes";
  seen.requested = view.performance.getEntriesByType("resource").map((entry) => entry.name);
  return seen;
};
const say = (seen) => { document.getElementById("seen").textContent = JSON.stringify(seen); };
frame.addEventListener("load", () => look().then(say, (error) => say({failed: String(error.stack || error)})));
</script></body></html>"""


def probed(page: Path, width: int, *flags: str, look: str = "") -> dict[str, Any]:
    """Open a page in a frame of the given width and return what was seen once its charts were drawn.

    ``look`` is JavaScript that does and sees more: it finds ``view``, ``inner``, ``root``, ``all(selector)``,
    ``pause(ms)``, ``charts(tell)`` and ``escaping(apart)``, and adds to ``seen``.
    The lines of the console come last.
    """
    folder, probe = page.parent, page.with_name("probe.html")
    probe.write_text(PROBE.replace("PAGE", page.name).replace("WIDTH", str(width)).replace("LOOK", look))
    done = browse(folder, "--window-size=1300,1000", *flags, "--dump-dom", probe.as_uri())
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2_000:]
    seen: dict[str, Any] = json.loads(html.unescape(found.group(1)) or '{"failed": "the probe never ended"}')
    assert "failed" not in seen, seen["failed"]
    return seen | {"console": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}
