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


def probed(folder: Path, probe: str, *flags: str) -> dict[str, Any]:
    """Open a probe page; return what it wrote into ``#seen`` as JSON, and the lines of the console."""
    page = folder / "probe.html"
    page.write_text(probe)
    done = browse(folder, "--window-size=1300,1000", *flags, "--dump-dom", page.as_uri())
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2_000:]
    seen: dict[str, Any] = json.loads(html.unescape(found.group(1)) or '{"failed": "the probe never ended"}')
    assert "failed" not in seen, seen["failed"]
    return seen | {"console": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}
