"""The pages stay as they are, to the sign, until somebody looks at a change and accepts it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from samples.page_samples import fingerprint, pages

import embargo.research.pages
from embargo.data_loaders.errors import MissingPartError
from embargo.research.pages.page import fill, write_page
from embargo.research.pages.status import status_of, worst_status

KNOWN = dict(
    reversed(line.split()) for line in (Path(__file__).parent / "pages.sha256").read_text(encoding="utf-8").splitlines()
)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_every_page_is_known(made: dict[str, str]) -> None:
    assert set(made) == set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_a_page_is_what_it_was(made: dict[str, str], name: str) -> None:
    assert fingerprint(made[name]) == KNOWN[name], (
        f"{name} has changed. Look at it; if it should, accept it: "
        "PYTHONPATH=tests python -m samples.page_samples > tests/research/pages/pages.sha256"
    )


def test_all_pages_wear_one_dress(made: dict[str, str]) -> None:
    heads = {page.split("<title>")[0] + page.split("</title>")[1].split("</style>")[0] for page in made.values()}
    assert len(heads) == 1
    for name, page in made.items():
        assert page.startswith("<!doctype html>"), name
        assert page.endswith("</html>"), name
        assert page.count("<main>") == page.count("</main>") == page.count("<h1>") == 1, name
        assert "This page holds everything it needs and loads nothing.</footer>" in page, name


def test_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    target = write_page("<!doctype html>–", tmp_path / "report.html")
    assert target.read_text(encoding="utf-8") == "<!doctype html>–"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(MissingPartError, match="does not exist"):
        write_page("", tmp_path / "nowhere" / "report.html")


def test_a_template_may_lie_beside_a_study_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.html.j2"
    with pytest.raises(MissingPartError, match="no such file"):
        fill(own)
    own.write_text(
        "{% extends 'pages/layout.html.j2' %}{% set brand = 'Mine' %}{% set skip = ('a', 'b') %}"
        "{% block main %}<p>{{ text }}</p>{% endblock %}"
    )
    page = fill(own, title="Own", subtitle="", text="<b>")
    assert "<title>Own – Mine</title>" in page
    assert "<p>&lt;b&gt;</p>" in page


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("block", [":root", ':root[data-theme="dark"]'])
def test_text_colours_have_the_contrast_wcag_asks_for(block: str) -> None:
    css = (Path(embargo.research.pages.__file__).parent / "style.css").read_text()
    rules = css[css.index(f"\n{block} {{") :].split("}")[0]
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", rules))

    def contrast(one: str, other: str) -> float:
        light, dark = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for ink in ("ink", "muted", "accent", "good", "warn", "bad"):
        assert contrast(ink, "panel") >= 4.5, ink
        assert contrast(ink, "page") >= 4.5, ink
    for ink, tint in (("warn", "warn-tint"), ("bad", "bad-tint"), ("good", "good-tint"), ("ink", "plain-tint")):
        assert contrast(ink, tint) >= 4.5, ink
    for number in range(6):
        assert contrast(f"series-{number}", "panel") >= 3.0, number


def test_runs_together_are_what_the_worst_of_them_is() -> None:
    assert worst_status(["valid", "caution", "valid"]) == "caution"
    assert worst_status(["caution", "invalid"]) == "invalid"
    assert worst_status(["valid"]) == "valid"
    assert worst_status([]) == status_of("unheard of") == "caution"
