"""Small experiments, and the command line that runs them in this process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from embargo.research.cli import app


def experiment(
    *,
    symbols: int,
    until: str,
    first_test: str,
    end: str,
    test_span: str,
    validation_span: str = "3MS",
    articles: float = 0.4,
    model: str = 'kind = "linear"',
    more: str = "",
) -> str:
    """Write a config on a market simulated from 2015 on; ``model`` is its section, ``more`` stands below.

    ``articles`` is what a symbol is told a day on average: a run takes as long as its model reads and learns.
    """
    return f"""
name = "small"
[news]
loader = "simulated"
simulated = {{ symbols = {symbols}, start = 2015-01-01, end = {until}, articles_per_symbol_day = {articles} }}
[prices]
loader = "simulated"
[split]
first_test = {first_test}
end = {end}
test_span = "{test_span}"
validation_span = "{validation_span}"
[model]
{model}
{more}
"""


SMALL = experiment(
    symbols=10,
    until="2017-12-31",
    first_test="2016-07-01",
    end="2018-01-01",
    test_span="9MS",
    articles=0.2,
    more="[statistics]\nbootstrap = 300\npermutations = 99",
)
ARCHIVE = re.sub(r'loader = "simulated"\nsimulated = .*', 'path = "news.parquet"', SMALL).replace(
    'loader = "simulated"', 'path = "prices.parquet"'
)

ONE_YEAR = experiment(
    symbols=8,
    until="2016-12-31",
    first_test="2016-01-01",
    end="2017-01-01",
    test_span="6MS",
    more="[statistics]\nbootstrap = 200\npermutations = 99",
)
SWEPT = (
    ONE_YEAR.replace("end = 2016-12-31,", "end = 2016-12-31, strength = 0.0,").replace("linear", "lexicon")
    + "[signal]\nhalf_life = 3.0\n"
)


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
