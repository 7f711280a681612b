"""Signal research as one HTML page that opens offline, in the dress of the run report.

The style sheet, the chart script and the number formats are those of `embargo.research.run.report`; everything from
outside is escaped, and the same diagnosis gives the same page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from embargo.research.pages import formats
from embargo.research.pages.page import fill, placed, write_whole
from embargo.research.run.report.charts import Chart
from embargo.research.run.report.page import STATUS_ICONS, STATUS_WORDS
from embargo.research.studies.signal import charts
from embargo.research.studies.signal.tables import coefficient, counted, interval, lived, sheets
from embargo.signals.diagnostics.diagnosis import Diagnosis

_CHARTS: tuple[tuple[str, str, Callable[[Diagnosis], Chart]], ...] = (
    (
        "horizons",
        "Intervals are 95 %. The further ahead, the more returns overlap and the fewer independent bars are left.",
        charts.horizon_chart,
    ),
    (
        "quantiles",
        "Divided by the horizon, so that clusters can be compared. Whiskers are 95 %.",
        charts.quantile_chart,
    ),
    (
        "events",
        "Bars from the first tradable open, where every path is 0. Bands are pointwise 95 %, clustered by bar.",
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
    found: Diagnosis, title: str, *, status: str = "valid", subtitle: str = "", significance: float = 0.05
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
        HTML with plotly.js, style and figures inside.
    """
    by_key: dict[str, tuple[str, Callable[[Diagnosis], Chart]]] = {key: (text, draw) for key, text, draw in _CHARTS}
    # Of a signal without opinions only what its articles did can be drawn.
    known = bool(found.ic.notna().any())
    sections = []
    for sheet in sheets(found):
        chart = None
        if sheet.key in by_key and (known or sheet.key == "events"):
            caption, draw = by_key[sheet.key]
            chart = placed(sheet.key, draw(found), caption=caption)
        sections.append({"sheet": sheet, "chart": chart, "id": sheet.key, "title": sheet.title})
        if sheet.key == "horizons" and known:
            sections += [
                {"sheet": None, "chart": placed(key, draw(found), caption=caption), "id": key, "title": heading}
                for key, heading, caption, draw in _OWN
            ]
    return fill(
        "embargo.research.studies.signal",
        "page.html.j2",
        title=title,
        subtitle=subtitle,
        status=status,
        status_word=STATUS_WORDS[status],
        status_icon=STATUS_ICONS[status],
        headline=_headline(found, significance),
        tiles=_tiles(found),
        remarks=found.remarks,
        sections=sections,
        counts=counted(found),
    )


def write_page(
    found: Diagnosis,
    path: str | Path,
    title: str,
    *,
    status: str = "valid",
    subtitle: str = "",
    significance: float = 0.05,
) -> Path:
    """Render a diagnosis and write the page whole or not at all.

    Parameters
    ----------
    found, title, status, subtitle, significance
        As in ``render_page``.
    path : str or Path
        File to write; its folder must exist.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    MissingPartError
        If the folder does not exist.
    """
    page = render_page(found, title, status=status, subtitle=subtitle, significance=significance)
    return write_whole(page, path, what="signal research")


def _headline(found: Diagnosis, significance: float) -> str:
    """Say what the coefficients come to, after adjusting for the number of horizons."""
    sure = found.horizons.loc[found.horizons["p_holm"] < significance]
    if sure.empty:
        return "No horizon at which the signal is known to know anything"
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
            coefficient(first["ic"]),
            interval(first["low"], first["high"]),
        ),
        ("p-value", formats.probability(first["p_value"]), "two-sided, Newey–West"),
        ("ICIR", formats.ratio(first["icir"]), "per bar"),
        ("Half-life, information", information[0], information[1]),
        ("Half-life, signal", own[0], own[1]),
        ("Weights traded", formats.percent(found.turnover["weights_traded"]), "of equity a bar, one way"),
    ]
