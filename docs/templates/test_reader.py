"""It reads like the paper's formula, keeps its identity apart, and carries a whole run; its settings are checked."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reader import BayesSettings, fit_bayes
from samples.small_runs import embargo, only_run

from embargo.data_loaders.errors import ConfigError
from embargo.models import fit_scorer
from embargo.models.scorers import Fit, FitRequest

UNTIL = pd.Timestamp("2016-01-01", tz="UTC")
ALLOW = ["reader:READER"]


def fitted(texts: list[str], labels: list[int], **settings: float) -> Fit:
    return fit_bayes(FitRequest(texts, labels, [], [], UNTIL, BayesSettings(**settings), Path("cache")))


def test_logits_are_those_of_the_formula() -> None:
    scorer = fitted(["up up", "down", "flat down"], [2, 0, 1], smoothing=0.5).scorer
    # Counts of up, down, flat by class, plus a half each.
    words = {"up": (0.5, 0.5, 2.5), "down": (1.5, 1.5, 0.5), "flat": (0.5, 1.5, 0.5)}
    sums = [sum(each[k] for each in words.values()) for k in range(3)]
    expected = [math.log(1 / 3) + sum(math.log(words[word][k] / sums[k]) for word in ("up", "down")) for k in range(3)]
    np.testing.assert_allclose(scorer.logits(["Up, down; sideways"])[0], expected, rtol=1e-12)


def test_its_identity_changes_with_all_that_moves_a_logit() -> None:
    same = fitted(["up", "down"], [2, 0]).scorer.identity
    assert fitted(["up", "down"], [2, 0]).scorer.identity == same
    others = {
        fitted(["up", "down"], [0, 2]).scorer.identity,
        fitted(["up", "up"], [2, 0]).scorer.identity,
        fitted(["up", "down"], [2, 0], smoothing=2.0).scorer.identity,
    }
    assert len(others | {same}) == 4


def test_it_is_fitted_like_any_other(tmp_path: Path) -> None:
    texts = ["profit rose", "profit fell", "annual report"] * 4
    train = pd.DataFrame({"text": texts, "label": [2, 0, 1] * 4})
    model = fit_scorer(
        "reader:READER",
        train=train,
        validation=train,
        trained_until=UNTIL,
        settings={"smoothing": 0.1},
        cache_dir=tmp_path,
        allow=ALLOW,
    )
    assert model.manifest["validation_accuracy"] == 1.0
    assert model.manifest["code"]["module"] == "reader"
    assert model.manifest["settings"] == {"smoothing": 0.1, "words": 5}
    assert model.fitted_on is not None
    assert set(model.fitted_on["use"]) == {"optimiser", "calibration"}


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    train = pd.DataFrame({"text": ["up", "down", "flat"], "label": [2, 0, 1]})
    for settings, complaint in (({"smoothing": 0.0}, "must be above 0"), ({"smoothness": 1.0}, "smoothness")):
        with pytest.raises(ConfigError, match=complaint):
            fit_scorer(
                "reader:READER",
                train=train,
                validation=train,
                trained_until=UNTIL,
                settings=settings,
                cache_dir=tmp_path,
                allow=ALLOW,
            )


def test_a_run_reads_with_it_when_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_CACHE", str(tmp_path / "cache"))
    config = tmp_path / "mine.toml"
    config.write_text(
        'name = "mine"\n[news]\nloader = "simulated"\n'
        "simulated = { symbols = 4, start = 2015-01-01, end = 2015-12-31 }\n"
        '[prices]\nloader = "simulated"\n[split]\nfirst_test = 2015-07-01\ntest_span = "3MS"\nvalidation_span = "2MS"\n'
        '[model]\nkind = "reader:READER"\nsettings = { smoothing = 0.5 }\n'
        "[statistics]\nbootstrap = 200\npermutations = 99\n"
    )
    refused = embargo("run", config, "--out", tmp_path / "runs")
    assert refused.exit_code == 2
    assert "--allow reader:READER" in refused.output.replace("\n", " ")
    # A setting that it does not take is told by the check, before anything is read or learnt.
    misspelt = ("--set", "model.settings.smothing=0.5", "--allow", "reader:READER")
    checked = embargo("validate", config, *misspelt)
    assert checked.exit_code == 2
    assert "smothing" in checked.output
    assert "Read the news" not in checked.output
    done = embargo("run", config, "--out", tmp_path / "runs", "--allow", "reader:READER")
    assert done.exit_code == 0, done.output
    run = only_run(tmp_path / "runs")
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["code"]["model.kind"]["sources"].keys() == {"reader"}
    findings = {each["code"]: each["verdict"] for each in json.loads((run / "findings.json").read_text())}
    assert findings["D9"] == "pass"
    assert "leak" not in findings.values()
