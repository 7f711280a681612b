"""Whatever a page, the terminal or a notebook says is no more than was shown, and every p-value names its sides."""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from samples.page_samples import pages
from samples.small_runs import SWEPT, embargo, only_run, settings
from samples.wording import (
    BANNED,
    banned_in,
    unsided_cell,
    unsided_in_page,
    unsided_in_terminal,
    unsided_sentences,
    words_of_page,
)

import embargo as product
from embargo.backtest import judge
from embargo.backtest.significance import paired_belief
from embargo.models.calibration.fitting import Calibration
from embargo.models.evaluation.bias import measure_bias
from embargo.models.evaluation.comparison import compare_classifiers, losses
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.research.modelling.judgement_tables import print_judgement
from embargo.research.modelling.judging import ModelJudgement, report_of
from embargo.research.pages.phrases import PHRASES, phrase
from embargo.research.records.figures import figures_of
from embargo.research.records.metrics import Metrics

TOP = Path(product.__file__).parent
REGIMES = '[regimes]\nex_post = ["lunde_timmermann", "markov"]\n'


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "small.toml").write_text(SWEPT + REGIMES)
    return folder


@pytest.fixture(scope="module")
def said(desk: Path) -> dict[str, str]:
    """What every command prints on one small experiment, by its name; pages end in ``.html``."""
    places = ["--out", desk / "runs", "--cache", desk / "cache"]
    done = {"run": embargo("run", desk / "small.toml", *places)}
    first = only_run(desk / "runs")
    changed = settings("signal.half_life=1")
    done["again"] = embargo("run", desk / "small.toml", *changed, *places)
    both = [first, *(path for path in (desk / "runs").iterdir() if path.is_dir() and path != first)]
    done["runs"] = embargo("runs", desk / "runs")
    done["compare"] = embargo("compare", *both, "--by", "regime", "--html", desk / "compare.html")
    done["signal"] = embargo("signal", first, "--html", desk / "signal.html")
    grid = ["--grid", "signal.half_life=1,3,6", "--html", desk / "sweep.html"]
    done["sweep"] = embargo("sweep", desk / "small.toml", *grid, *places)
    done["paths"] = embargo("paths", desk / "small.toml", "--groups", "4", "--test", "2", *places)
    for name, result in done.items():
        assert result.exit_code in (0, 3), (name, result.output)
    printed = {name: result.output for name, result in done.items()}
    files = {
        "report": first / "report.html",
        **{name: desk / f"{name}.html" for name in ("compare", "signal", "sweep")},
    }
    return printed | {f"{name}.html": path.read_text(encoding="utf-8") for name, path in files.items()}


COMMANDS = ("run", "again", "runs", "compare", "signal", "sweep", "paths")
PAGES = ("report.html", "compare.html", "signal.html", "sweep.html")


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_say_no_more_than_was_shown(said: dict[str, str], name: str) -> None:
    assert banned_in(said[name]) == []
    assert unsided_in_terminal(said[name]) == []


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_a_run_say_no_more_than_was_shown(said: dict[str, str], name: str) -> None:
    assert banned_in(words_of_page(said[name])) == []
    assert unsided_in_page(said[name]) == []


def test_what_was_walked_does_print_p_values(said: dict[str, str]) -> None:
    for name in ("report.html", "compare.html", "signal.html", "sweep.html"):
        assert len(re.findall("one-sided|two-sided", words_of_page(said[name]))) >= 3, name
    for name in ("run", "compare", "signal", "sweep"):
        assert "-sided" in said[name], name


def test_pages_of_fixed_contents_say_no_more_than_was_shown() -> None:
    for name, page in pages().items():
        assert banned_in(words_of_page(page)) == [], name
        assert unsided_in_page(page) == [], name


def test_what_looks_back_carries_neither_interval_nor_p_and_says_why(said: dict[str, str]) -> None:
    for name in ("report.html", "compare.html"):
        assert "ex post: dated after the fact, from the same bars: neither interval nor test" in words_of_page(
            said[name]
        )
    assert "dated after the fact: not judged" in words_of_page(said["compare.html"])
    assert "dated after the fact, from the same bars: not tested" in words_of_page(said["report.html"])
    told = " ".join(said["compare"].split())
    assert re.search(r"By Lunde-Timmermann, ex post, no difference is judged: [^.]*\(dated after the fact\)", told)


def test_a_notebook_says_no_more_than_was_shown(desk: Path, said: dict[str, str]) -> None:
    assert said
    days = pd.date_range("2020-01-01", periods=400, freq="B", tz="UTC")
    rng = np.random.default_rng(2)
    panel = pd.DataFrame(rng.normal(0.0003, 0.01, (400, 5)), index=days)
    told = judge(panel[0], periods_per_year=252, benchmark=panel[1], trials=panel[[2, 3, 4]], n_boot=200)
    runs = sorted(path.parent for path in (desk / "runs").glob("small-*/manifest.json"))
    run, both = product.Run.load(runs[0]), product.compare(*runs)
    assert "two-sided p" in repr(both)
    assert "one-sided" not in repr(both)
    for shown in (told, run):
        figures = shown.figures() if shown is told else shown._facts()
        lines = [f"{figure.label}: {figure.value} {figure.note}" for figure in figures]
        assert [line for line in lines if unsided_cell(line)] == []
        assert banned_in(repr(shown)) == []
        assert unsided_in_page(shown._repr_html_()) == []


def test_the_judgement_of_a_model_says_no_more_than_was_shown() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 300)
    one, two = (rng.normal(size=(300, 3)) + 2.0 * np.eye(3)[labels] for _ in range(2))
    first, second = (Calibration().apply(logits) for logits in (one, two))
    ahead = {"estimate": 0.1, "low": 0.0, "high": 0.2, "p_value": 0.04}
    baseline = {"accuracy": 0.4, "macro_f1": 0.3, "weighted_f1": 0.3, "accuracy_ahead": ahead, "macro_f1_ahead": ahead}
    judged = ModelJudgement(
        name="mine",
        counts={},
        report=report_of(one, labels, Calibration(), days=None, seed=0),
        baselines={"majority": baseline},
        against=compare_classifiers({"mine": first, "other": second}, labels, seed=0),
        belief=paired_belief(losses(second, labels) - losses(first, labels), rope=0.01),
        robustness=None,
        forgotten=None,
        bias=measure_bias(LexiconScorer()),
        notes=(),
    )
    console = Console(file=io.StringIO(), width=200)
    print_judgement(console, judged)
    output = console.file.getvalue()
    assert "two-sided" in output
    assert "Bias: not told. This reader tells none of the 17 pairs apart at all" in output
    assert banned_in(output) == []
    assert unsided_in_terminal(output) == []


def test_no_figure_of_a_run_is_a_p_value_without_sides() -> None:
    from embargo.research.records.figures import reference

    rows = [line for line in reference(Metrics, "").splitlines() if "| p-value |" in line]
    assert len(rows) >= 12
    assert [row for row in rows if not re.search("one-sided|two-sided", row, flags=re.IGNORECASE)] == []
    assert figures_of(Metrics)["probabilistic_sharpe"].unit == "one less p"


@pytest.mark.parametrize("folder", ["research", "backtest", "signals", "docs", "README.md"])
def test_no_source_holds_what_must_not_be_said(folder: str) -> None:
    """Branches that no sample reaches, and documents."""
    place = TOP / folder
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    wrong = {}
    for path in files:
        if path.suffix == ".py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docs = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            strings = [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
            ]
            found = [one for text in strings for one in banned_in(text)]
        elif path.suffix in (".j2", ".md", ".toml"):
            found = banned_in(path.read_text(encoding="utf-8"))
        else:
            continue
        if found:
            wrong[path.relative_to(TOP).as_posix()] = found
    assert wrong == {}


def test_phrases_say_what_they_claim_and_claim_no_more() -> None:
    for name, one in PHRASES.items():
        assert one.claims.endswith("."), name
        assert banned_in(f"{one.text} {one.claims}") == [], name
        assert ("not shown" in one.text) == name.endswith("not shown"), name
    assert phrase("above zero", level="0.05") == "above zero (Holm's p, one-sided, below 0.05)"
    with pytest.raises(KeyError):
        phrase("edge proved")


@pytest.mark.parametrize(
    ("text", "banned", "unsided"),
    [
        ("Nothing was\nfound: no edge.", 1, 0),
        ("The probability of skill is 87 %.", 1, 0),
        ("Posterior probability of being truly better: 0.4.", 0, 0),
        ("Probability of being truly better: 0.4.", 1, 0),
        ("Its p = 0.034 is small. Another is one-sided.", 0, 1),
        ("Its p = 0.034, one-sided, is small.", 0, 0),
        ("It has p\u00a0<\u00a00.001.", 0, 1),
    ],
)
def test_the_walk_itself_can_fail(text: str, banned: int, unsided: int) -> None:
    assert (len(banned_in(text)), len(unsided_sentences(text))) == (banned, unsided)
    page = f"<main><table><tr><th>p (Holm)</th><th>p, two-sided</th></tr></table><p>{text}</p></main>"
    assert unsided_in_page(page)[0] == "p (Holm)"
    assert len(unsided_in_page(page)) == 1 + unsided
    assert len(banned_in(words_of_page(page))) == banned
    head = "run ┃ p ┃ p, two-sided\n"
    assert unsided_in_terminal(head + text)[0] == "p"
    assert len(BANNED) >= 8
