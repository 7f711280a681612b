"""What every page that opens offline is made with: its templates, style and charts, and writing it whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.io as pio
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from embargo.data_loaders.errors import MissingPartError
from embargo.research.run.report.charts import Chart

_OWN = "embargo.research.pages"


def fill(package: str, template: str, **fields: Any) -> str:
    """Render a template of a package in the dress of the reports; everything from outside is escaped.

    Parameters
    ----------
    package : str
        Where the template lies; those that it extends or imports may lie beside this module.
    template : str
        File name.
    **fields
        What the template shows. ``style`` and ``plotly_js`` are added.

    Raises
    ------
    MissingPartError
        If the installed plotly.js cannot be put inside a page.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "") for name in dict.fromkeys((package, _OWN))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(
        **fields,
        style=Markup(style),  # noqa: S704 - the package's own file
        plotly_js=Markup(plotly_js()),  # noqa: S704 - checked not to end the script
    )


def write_whole(page: str, path: str | Path, *, what: str) -> Path:
    """Write a page whole or not at all; MissingPartError if its folder does not exist."""
    target = Path(path)
    if not target.parent.is_dir():
        raise MissingPartError(f"{what} {target}: folder {target.parent} does not exist; create it first")
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(page, encoding="utf-8", newline="\n")
    return partial.replace(target)


def plotly_js() -> str:
    """plotly.js, checked not to end the script element that holds it."""
    code = str(get_plotlyjs())
    if "</script" in code.lower() or "<!--" in code:
        raise MissingPartError("report: this version of plotly.js cannot be put inside a page; install plotly 7.1")
    return code


def placed(key: str, chart: Chart, **more: str) -> dict[str, Any]:
    """Return what a template needs to show a chart under a name of its own, such as a caption beside it."""
    return {
        "id": key,
        **more,
        "json": _json(chart),
        "summary": chart.summary,
        "note": chart.note,
        "height": int(chart.figure.layout.height),
    }


def _json(chart: Chart) -> Markup:
    """Write a figure as JSON that cannot end its script element, whatever its labels say."""
    text = str(pio.to_json(chart.figure, validate=True, pretty=False, remove_uids=True, engine="json"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - no sign of markup is left
