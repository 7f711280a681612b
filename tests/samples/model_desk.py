"""A random base, labelled texts and news in a folder, and the command line in this process to work on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from typer.testing import CliRunner, Result

from embargo.research.cli import app
from samples.small_runs import experiment

VERBS = {"bearish": ("fell", "down", "loss"), "neutral": ("held", "flat", "in"), "bullish": ("rose", "up", "profit")}
FILLERS = ("sales", "bank", "the", "of", "a", "and")


def texts(n: int, seed: int) -> pd.DataFrame:
    """Return n distinct texts, labels by name."""
    rng = np.random.default_rng(seed)
    rows: dict[str, str] = {}
    while len(rows) < n:
        label = str(rng.choice(list(VERBS)))
        rows[f"{rng.choice(VERBS[label])} {' '.join(rng.choice(FILLERS, 6))} {seed}"] = label
    return pd.DataFrame({"text": list(rows), "label": list(rows.values())})


def news(n: int, seed: int, start: str) -> pd.DataFrame:
    """Return n articles, one a day."""
    frame = texts(n, seed).drop(columns="label")
    return frame.assign(
        article_id=[f"{seed}-{row}" for row in range(n)],
        symbol="AAA",
        published_at=pd.date_range(start, periods=n, freq="1D", tz="UTC"),
        source="wire",
    )


SETTINGS = """
name = "desk"
[labels]
source = "file"
path = "labels.csv"
knowledge_cutoff = 2014-12-31
[model]
base = "{base}"
knowledge_cutoff = 2014-01-01
method = "lora"
rank = 2
epochs = 3
max_length = 16
"""

MODEL = """
base = "{base}"
knowledge_cutoff = 2014-12-31
method = "lora"
rank = 2
epochs = 1
max_length = 32
max_train = 200
"""


@dataclass(frozen=True)
class ModelDesk:
    """A folder with ``base/``, ``labels.csv``, ``tune.toml``, ``folds.toml`` and ``cache/``."""

    folder: Path

    def run(self, *arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        if arguments[0] != "models":
            words += ["--cache", str(self.folder / "cache")]
        return CliRunner().invoke(app, words, env={"COLUMNS": "200"})

    def tuned(self, *options: object, out: str = "models") -> Path:
        """Tune on the labelled file and return the model folder."""
        before = set(self.models(out))
        result = self.run("tune", self.folder / "tune.toml", "--out", self.folder / out, *options)
        assert result.exit_code == 0, result.output
        found = [path for path in self.models(out) if path not in before]
        return found[0]

    def models(self, out: str = "models") -> list[Path]:
        """Return the folders below ``out``, hidden ones too."""
        return sorted((self.folder / out).iterdir()) if (self.folder / out).is_dir() else []


def desk_in(folder: Path) -> ModelDesk:
    """Set up a desk."""
    from samples.small_bases import small_base

    small_base("bert", folder / "base")
    texts(150, seed=1).to_csv(folder / "labels.csv", index=False)
    (folder / "tune.toml").write_text(SETTINGS.format(base=folder / "base"))
    folds = experiment(
        symbols=4,
        until="2016-04-30",
        first_test="2015-12-01",
        end="2016-04-01",
        test_span="2MS",
        validation_span="2MS",
        model=MODEL.format(base=folder / "base"),
    )
    (folder / "folds.toml").write_text(folds)
    return ModelDesk(folder)
