"""Small experiments, and the command line that runs them in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from embargo.research.cli import app

SMALL = """
name = "small"
[news]
loader = "simulated"
simulated = { symbols = 10, start = 2015-01-01, end = 2017-12-31 }
[prices]
loader = "simulated"
[split]
first_test = 2016-07-01
end = 2018-01-01
test_span = "9MS"
validation_span = "3MS"
[model]
kind = "linear"
[statistics]
bootstrap = 300
permutations = 99
"""

ARCHIVE = SMALL.replace(
    'loader = "simulated"\nsimulated = { symbols = 10, start = 2015-01-01, end = 2017-12-31 }', 'path = "news.parquet"'
).replace('loader = "simulated"', 'path = "prices.parquet"')

SWEPT = """
name = "small"
[news]
loader = "simulated"
simulated = { symbols = 8, start = 2015-01-01, end = 2016-12-31, strength = 0.0 }
[prices]
loader = "simulated"
[split]
first_test = 2016-01-01
end = 2017-01-01
test_span = "6MS"
validation_span = "3MS"
[model]
kind = "lexicon"
[signal]
half_life = 3.0
[statistics]
bootstrap = 200
"""


def embargo(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def settings(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def rounded(document: str) -> Any:
    """Read JSON with numbers to twelve digits; what is smaller than a rounding error is 0."""
    return json.loads(
        document, parse_float=lambda digits: float(f"{float(digits):.12g}") if abs(float(digits)) > 1e-13 else 0.0
    )


def only_run(folder: Path) -> Path:
    (run,) = [path for path in folder.iterdir() if path.is_dir()]
    return run


def metrics_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((only_run(folder) / "metrics.json").read_text()))
