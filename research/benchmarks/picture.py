"""Take the picture of the demo's report that README shows.

Run by ``python -m embargo.research.benchmarks.picture --write docs/report.png``, which carries the demo out (minutes
the first time) and opens its report in a headless Chromium; ``--run runs/demo-1a2b3c4d`` takes a finished run instead.
The browser reaches no network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

import embargo
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError

WIDTH, HEIGHT = 928, 1160
MOST_BYTES = 200_000
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def browser() -> str:
    """Find a Chromium: ``EMBARGO_CHROMIUM``, else the first on the path.

    Raises
    ------
    MissingPartError
        If there is none.
    """
    named = os.environ.get("EMBARGO_CHROMIUM")
    found = named if named else next((path for path in map(shutil.which, _BROWSERS) if path), None)
    if found is None or not Path(found).is_file():
        raise MissingPartError("no Chromium to open the report with. Install one, or set EMBARGO_CHROMIUM.")
    return found


def picture(run: Path, target: Path) -> None:
    """Write the head of a run's report as a PNG, in light colours.

    Raises
    ------
    ConfigError
        If the folder holds no report.
    MissingPartError
        If there is no browser.
    DataError
        If the browser wrote no picture, or one of more than 200 kB.
    """
    report = run / "report.html"
    if not report.is_file():
        raise ConfigError(f"{run}: there is no report.html in it. Name the folder of a finished run.")
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        taken = Path(folder) / "report.png"
        command = [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000",
            f"--user-data-dir={Path(folder) / 'profile'}", f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={taken}", report.resolve().as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
        if not taken.is_file():
            raise DataError(f"{report}: the browser took no picture: {done.stderr.strip()[-300:]}")
        small = Path(folder) / "small.png"
        with Image.open(taken) as image:
            # A page has few colours but for the edges of its letters; a third of the bytes are left.
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, optimize=True)
        if small.stat().st_size > MOST_BYTES:
            raise DataError(f"{report}: its picture has {small.stat().st_size} bytes, above {MOST_BYTES}.")
        shutil.copy(small, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", required=True, help="where the picture goes")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="a finished run, in the place of the demo")
    given = parser.parse_args()
    if given.run is not None:
        picture(given.run, given.write)
        return
    with tempfile.TemporaryDirectory(prefix="picture-demo-") as folder:
        picture(embargo.demo(out=folder).folder, given.write)


if __name__ == "__main__":
    main()
