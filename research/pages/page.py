"""Pages that open offline: one layout, filled by the templates beside what they show, and one way to write them whole.

Everything is inside the page, nothing is fetched, and text from outside is escaped and made plain. What passes
unescaped is the package's own style sheet and scripts, and JSON that cannot end its element.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from embargo.data_loaders.errors import MissingPartError
from embargo.models.drafts import whole_file
from embargo.research.pages import formats
from embargo.research.pages.charts import script_json
from embargo.research.pages.compact import Columns
from embargo.research.pages.status import STATUS_ICONS, STATUS_WORDS
from embargo.research.plain import plain

# In this order, since each uses what those before it hold.
_SCRIPTS = ("scales.js", "marks.js", "plot.js", "pointing.js", "wiring.js")


def fill(template: str | Path, columns: Columns | None = None, **fields: Any) -> str:
    """Render a template that extends the layout of all pages.

    Parameters
    ----------
    template : str or Path
        Its place in ``research/``, such as ``"studies/sweep/page.html.j2"``; a path is a file of a study that lies
        elsewhere. It extends ``pages/layout.html.j2`` and may import from ``pages/macros.html.j2``.
    columns : Columns, optional
        Long columns that the charts of the page share, as `placed` filled it.
    **fields
        What the template shows; a name that it uses and that is not given is an error.

    Returns
    -------
    str
        HTML with style, script and figures inside; the same fields give the same text.

    Raises
    ------
    MissingPartError
        If the template's file is not there.

    Examples
    --------
    >>> from embargo.research.pages import fill
    >>> page = fill("gathering/checks/page.html.j2", title="A <b> store", subtitle="", status="valid", word="Clean",
    ...             headline="Nothing stands out", tally="0 bad, 0 to look at, 0 fine", total=0, parts=[])
    >>> page.startswith("<!doctype html>"), "A &lt;b&gt; store" in page
    (True, True)
    """
    return _template(template).render(
        **fields,
        style=Markup(_style()),  # noqa: S704 - the package's own file
        script=Markup(_script()),  # noqa: S704 - the package's own files
        columns_json=script_json([] if columns is None else columns.kept),
    )


def write_page(page: str, path: str | Path) -> Path:
    """Write a page whole or not at all.

    Parameters
    ----------
    page : str
        HTML.
    path : str or Path
        File to write, in UTF-8; its folder must exist.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    MissingPartError
        If the folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from embargo.research.pages import write_page
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page("<!doctype html>", f"{folder}/page.html").read_text()
    '<!doctype html>'
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise MissingPartError(f"page {target}: folder {target.parent} does not exist; create it first")
    with whole_file(target) as file:
        file.write_text(page, encoding="utf-8", newline="\n")
    return target


def _template(template: str | Path) -> Template:
    if isinstance(template, str):
        return _environment().get_template(template)
    if not template.is_file():
        raise MissingPartError(f"page template {template}: there is no such file; give its full path")
    return _environment().from_string(template.read_text(encoding="utf-8"))


def _plain(value: Any) -> Any:
    """Show signs that would turn the text of a page round; see `embargo.research.plain`."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("embargo.research", ""),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"missing": formats.MISSING, "status_words": STATUS_WORDS, "status_icons": STATUS_ICONS}
    return environment


@cache
def _style() -> str:
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


@cache
def _script() -> str:
    parts = [(Path(__file__).parent / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return "\n".join(["(() => {", '"use strict";', *parts, "})();"])
