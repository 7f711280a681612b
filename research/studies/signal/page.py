"""Signal research as one HTML page: the tables of a diagnosis, each under the chart of its figures."""

from __future__ import annotations

from collections.abc import Callable

from embargo.research.pages import formats
from embargo.research.pages.charts import Chart, placed
from embargo.research.pages.page import fill
from embargo.research.pages.phrases import phrase
from embargo.research.pages.status import Status
from embargo.research.studies.signal import charts
from embargo.research.studies.signal.tables import counted, lived, sheets
from embargo.signals.diagnostics.diagnosis import Diagnosis

_CHARTS: tuple[tuple[str, str, Callable[[Diagnosis], Chart]], ...] = (
    (
        "horizons",
        "Intervals are 95%. The further ahead, the more returns overlap and the fewer independent bars are left.",
        charts.horizon_chart,
    ),
    (
        "quantiles",
        "Divided by the horizon, so that clusters can be compared. Whiskers are 95%.",
        charts.quantile_chart,
    ),
    (
        "events",
        "Bars from the first tradable open, where every path is 0. Bands are pointwise 95%, clustered by bar.",
        charts.event_chart,
    ),
    (
        "fading",
        "Each as a share of its start. Weights that outlive the information earn nothing more.",
        charts.decay_chart,
    ),
)
_OWN: tuple[tuple[str, str, str, Callable[[Diagnosis], Chart]], ...] = (
    (
        "lags",
        "Information before and after",
        (
            "One bar's return at each distance. Hatched bars were over when the signal was made: high ones mean that "
            "prices moved before the news could be traded, or that the news tells of the move. A first bar that towers "
            "over all later ones is how it looks when the traded bar's return has leaked into the signal."
        ),
        charts.lag_chart,
    ),
    (
        "cumulative",
        "Information over time",
        "Coefficients of the shortest horizon, summed. One steep stretch carries a mean that the rest does not.",
        charts.cumulative_chart,
    ),
)


def render_page(
    found: Diagnosis, title: str, *, status: Status = "valid", subtitle: str = "", significance: float = 0.05
) -> str:
    """Render a diagnosis as one HTML page.

    Parameters
    ----------
    found : Diagnosis
    title : str
        Name of the run.
    status : {'valid', 'caution', 'invalid'}
        What the run's audit came to.
    subtitle : str
        A line below the title.
    significance : float
        Level below which a horizon counts in the headline.

    Returns
    -------
    str
        HTML with style, script and figures inside; the same diagnosis gives the same text.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
    >>> from embargo.research.studies.signal import render_page
    >>> from embargo.signals.diagnostics.diagnosis import diagnose
    >>> market = simulate_market(SimulatedMarket(n_symbols=4, end="2015-06-30"))
    >>> opens = market.prices.open
    >>> values = np.random.default_rng(0).normal(0.0, 0.1, opens.shape)
    >>> signal = pd.DataFrame(values, opens.index, opens.columns)
    >>> scores = {"bearish": 0.1, "neutral": 0.1, "bullish": 0.8, "confidence": 0.8}
    >>> articles = market.news.head(50).assign(row=np.arange(50), column=0, used=True, **scores)
    >>> found = diagnose(signal, signal, articles, market.prices, horizons=(1, 5))
    >>> "<title>mine – Embargo signal research</title>" in render_page(found, "mine")
    True
    """
    by_key = {key: (text, draw) for key, text, draw in _CHARTS}
    # Of a signal without opinions only what its articles did can be drawn.
    known = bool(found.ic.notna().any())
    sections = []
    for key, sheet in sheets(found).items():
        chart = None
        if key in by_key and (known or key == "events"):
            caption, draw = by_key[key]
            chart = placed(key, draw(found), caption=caption)
        sections.append({"sheet": sheet, "chart": chart, "id": key, "title": sheet.title})
        if key == "horizons" and known:
            sections += [
                {"sheet": None, "chart": placed(own, draw(found), caption=caption), "id": own, "title": heading}
                for own, heading, caption, draw in _OWN
            ]
    return fill(
        "studies/signal/page.html.j2",
        title=title,
        subtitle=subtitle,
        status=status,
        headline=_headline(found, significance),
        tiles=_tiles(found),
        remarks=found.remarks,
        sections=sections,
        counts=counted(found),
    )


def _headline(found: Diagnosis, significance: float) -> str:
    """Say what the coefficients come to, after adjusting for the number of horizons."""
    sure = found.horizons.loc[found.horizons["p_holm"] < significance]
    if sure.empty:
        return phrase("information not shown")
    signs = set((sure["ic"] > 0.0).tolist())
    at = ", ".join(str(horizon) for horizon in sure["horizon"])
    bars = f"{at} bar{'' if at == '1' else 's'} ahead"
    if signs == {True}:
        return f"The signal leans the way returns went, {bars}"
    return (
        f"The signal leans against what returns did, {bars}" if signs == {False} else f"The signal's sign turns: {bars}"
    )


def _tiles(found: Diagnosis) -> list[tuple[str, str, str]]:
    first = found.horizons.iloc[0]
    information, own = (lived(found.half_lives[name]) for name in ("information", "signal"))
    return [
        (
            f"IC, {int(first['horizon'])} bar{'s' * int(first['horizon'] > 1)} ahead",
            formats.coefficient(first["ic"]),
            formats.interval((first["low"], first["high"]), "coefficient"),
        ),
        ("p, two-sided", formats.probability(first["p_value"]), "Newey–West"),
        ("ICIR", formats.ratio(first["icir"]), "per bar"),
        ("Half-life, information", information[0], information[1]),
        ("Half-life, signal", own[0], own[1]),
        ("Weights traded", formats.percent(found.turnover["weights_traded"]), "of equity a bar, one way"),
    ]
