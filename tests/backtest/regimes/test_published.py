"""Regimes held against what others printed: Stata's manual of Markov switching, and the recessions of the NBER."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa import regime_switching
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from embargo.backtest.regimes import compiled, fit_markov, market_phases, pagan_sossounov

# Stata 14 Time-Series Reference Manual, "mswitch": `mswitch dr fedfunds`, states with one variance. Chances to stay in
# the first state and to leave the second, means, common deviation (all in percent), and the log-likelihood.
STATA = {"stay": 0.9820939, "leave": 0.0503587, "means": [3.70877, 9.556793], "deviation": 2.107562}
STATA_LIKELIHOOD = -508.63592
# National Bureau of Economic Research, "US Business Cycle Expansions and Contractions": quarters of peak and trough.
RECESSIONS = [
    ("1960Q2", "1961Q1"),
    ("1969Q4", "1970Q4"),
    ("1973Q4", "1975Q1"),
    ("1980Q1", "1980Q3"),
    ("1981Q3", "1982Q4"),
    ("1990Q3", "1991Q1"),
    ("2001Q1", "2001Q4"),
    ("2007Q4", "2009Q2"),
]


TESTS_OF_STATSMODELS = Path(regime_switching.__file__).parent / "tests"


def series_of_stata(name: str) -> np.ndarray:
    """A series of the manual's examples, read from the statsmodels module that holds it for its own tests."""
    source = TESTS_OF_STATSMODELS / "test_markov_regression.py"
    if not source.is_file():
        pytest.skip("statsmodels is installed without its tests")
    for part in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == name:
            return np.array(ast.literal_eval(part.value), dtype=float)
    raise LookupError(name)


def test_filter_forecast_and_smoother_are_those_of_stata():
    """226 quarters of the federal funds rate, and what Stata's `predict` says of each."""
    rates = series_of_stata("fedfunds")
    told = pd.read_csv(TESTS_OF_STATSMODELS / "results" / "results_predict_fedfunds.csv")
    moves = np.array([[STATA["stay"], 1.0 - STATA["stay"]], [STATA["leave"], 1.0 - STATA["leave"]]])
    known, forecast, likelihood = compiled.filtered(
        rates, np.array(STATA["means"]), np.full(2, STATA["deviation"]), moves
    )
    assert likelihood == pytest.approx(STATA_LIKELIHOOD, abs=5e-6)
    np.testing.assert_allclose(known, told[["const_f1", "const_f2"]], atol=1e-6)
    np.testing.assert_allclose(forecast, told[["const_p1", "const_p2"]], atol=1e-6)
    smoothed, _ = compiled.smoothed(known, forecast, moves)
    np.testing.assert_allclose(smoothed, told[["const_sm1", "const_sm2"]], atol=1e-6)


@pytest.mark.parametrize("states", [2, 3])
@pytest.mark.parametrize("series", ["fedfunds", "areturns"])
def test_the_fit_of_the_manuals_series_is_as_likely_as_that_of_statsmodels(series, states):
    """Weekly moves of the S&P 500 in absolute value, and the rate; `areturns` and `fedfunds` of Stata's manual."""
    values = series_of_stata(series)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MarkovRegression(values, k_regimes=states, switching_variance=True)
        theirs = float(model.fit(search_reps=0).llf)
    assert fit_markov(values, states=states).log_likelihood > theirs - 0.2


def test_recessions_are_found_in_the_gross_domestic_product():
    """The rules of Bry and Boschan for quarters, as Harding and Pagan (2002) set them, on 1959 to 2009.

    The recession of 2001 is no phase: output, as known in 2009, did not fall two quarters in a row.
    """
    from statsmodels.datasets import macrodata

    table = macrodata.load_pandas().data
    quarters = [f"{year:.0f}Q{quarter:.0f}" for year, quarter in zip(table["year"], table["quarter"], strict=True)]
    output = pd.Series(table["realgdp"].to_numpy(), index=quarters)
    # No fall of output is so deep that a phase may be shorter.
    dating = pagan_sossounov(output, window=2, phase=2, cycle=5, ends=2, override=0.99)
    phases = market_phases(output, dating)
    falls = phases.loc[phases["regime"] == "bear", ["start", "end"]].to_numpy()
    expected = [dates for dates in RECESSIONS if dates[0] != "2001Q1"]
    place = {quarter: row for row, quarter in enumerate(quarters)}
    apart = [
        [place[ours] - place[theirs] for ours, theirs in zip(pair, dates, strict=True)]
        for pair, dates in zip(falls, expected, strict=True)
    ]
    # The bureau dates by months, and by employment too.
    assert np.abs(apart).max() <= 3
    assert np.mean(np.abs(apart) <= 1) > 0.7
