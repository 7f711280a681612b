"""What a scorer answers to a text of a symbol and a date alone: whatever it says of that day, it recalls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.models.calibration.fitting import Calibration
from embargo.models.scorer import Scorer
from embargo.models.scorers.score import cached_logits

TEMPLATES = ("{symbol} {date:%Y-%m-%d}", "{name}, {date:%B %d, %Y}.")


def recall(
    scorer: Scorer,
    symbols: Sequence[str],
    at: pd.Series | pd.DatetimeIndex,
    *,
    names: Mapping[str, str] | None = None,
    templates: Sequence[str] = TEMPLATES,
    calibration: Calibration | None = None,
) -> pd.DataFrame:
    """Ask a scorer for symbols and dates alone: which way it leans, and how far the date moves it.

    Parameters
    ----------
    scorer : Scorer
    symbols : sequence of str, length n
    at : Series or DatetimeIndex, length n
        Opening of the bar that is to be recalled; only its date is shown.
    names : mapping of str to str, optional
        What to call a symbol; the symbol itself without one.
    templates : sequence of str
        Forms of the question, with ``{symbol}`` or ``{name}``, and ``{date:...}`` as for ``strftime``; answers to
        several are averaged. A reader fitted on dated headlines recalls best what looks like them.
    calibration : Calibration, optional

    Returns
    -------
    DataFrame, in the order given
        ``symbol``, ``at``; ``recalled``, bullish less bearish probability; ``propensity``, the total variation distance
        in [0, 1] between the answer and that to the same question without its date.

    Raises
    ------
    DataError
        If lengths differ.
    ConfigError
        If a template lacks the symbol or the date.

    Notes
    -----
    Gao, Jiang and Yan (2025, revised 2026), "Detecting Lookahead Bias in LLM Forecasts", arXiv 2512.23847, ask a chat
    model whether it recalls the outcome of a firm on a date, and call the probability its lookahead propensity. A
    scorer of texts cannot be asked; how far a bare date moves its answer stands in for it here.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.models import LexiconScorer
    >>> from embargo.models.probes import recall
    >>> recall(LexiconScorer(), ["AAPL"], pd.to_datetime(["2019-03-04"], utc=True))["propensity"].tolist()
    [0.0]
    """
    instants = pd.DatetimeIndex(at)
    if len(symbols) != len(instants):
        raise DataError(f"recall: {len(symbols)} symbols and {len(instants)} instants. Give one instant per symbol.")
    for template in templates:
        if "{date" not in template or not ("{symbol}" in template or "{name}" in template):
            raise ConfigError(f"recall: template {template!r} must hold {{symbol}} or {{name}}, and {{date:...}}.")
    if not templates:
        raise ConfigError("recall: there are no templates. Give one or more.")
    called = names or {}
    reading = calibration or Calibration()

    def ask(template: str, symbol: str, date: str) -> str:
        return template.format(symbol=symbol, name=called.get(symbol, symbol), date=_Written(date)).strip(" ,.:") + "."

    answers, undated = np.zeros((len(instants), 3)), np.zeros((len(instants), 3))
    for template in templates:
        form = template[template.index("{date") + 5 : template.index("}", template.index("{date"))].lstrip(":")
        asked = [
            ask(template, symbol, f"{instant:{form or '%Y-%m-%d'}}")
            for symbol, instant in zip(symbols, instants, strict=True)
        ]
        bare = [ask(template, symbol, "") for symbol in symbols]
        # Both in one call, so that a scorer that pads by batch reads them alike.
        read = reading.apply(cached_logits(scorer, [*asked, *bare]).logits) if asked else np.zeros((0, 3))
        answers += read[: len(asked)] / len(templates)
        undated += read[len(asked) :] / len(templates)
    return pd.DataFrame(
        {
            "symbol": list(symbols),
            "at": instants,
            "recalled": answers[:, 2] - answers[:, 0],
            "propensity": np.abs(answers - undated).sum(axis=1) / 2.0,
        }
    )


class _Written(str):
    """A date already written: whatever form a template asks for, it stays as it is."""

    __slots__ = ()

    def __format__(self, form: str) -> str:
        return str(self)
