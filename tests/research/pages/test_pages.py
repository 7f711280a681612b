"""The five pages stay as they are, to the sign, until somebody looks at a change and accepts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples.page_samples import fingerprint, pages

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
