"""Files that a reader opens by itself take back what no check could know of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from samples.small_runs import embargo, only_run

from embargo.backtest.leakage import Finding
from embargo.research.run.files_read import files_read, unless_files_read

OPENED = {"kind": "mine:read", "files_read": ["data/labels.csv"]}
TAUGHT = {"kind": "distilled", "settings": {"taught": {}, "teacher": OPENED}}
PASSED = Finding("T1", "pass", "Nothing later moves it", "36 worlds were tried.", effect=0.0, unit="weight")


def test_a_pass_is_taken_back_and_says_what_was_opened() -> None:
    for manifest in (OPENED, TAUGHT):
        found = unless_files_read(PASSED, [{"kind": "linear"}, manifest])
        assert (found.verdict, found.effect) == ("inconclusive", None)
        assert "data/labels.csv" in found.detail
        assert "36 worlds were tried." in found.detail
        assert "cutoff" in found.remedy


def test_what_was_found_and_readers_without_files_stay_as_they_are() -> None:
    leak = Finding("T1", "leak", "Nothing later moves it", "It moved.")
    assert unless_files_read(leak, [OPENED]) is leak
    assert unless_files_read(PASSED, [{"kind": "linear", "settings": {"teacher": "by name"}}]) is PASSED
    assert files_read([]) == []


READER = """
from pathlib import Path
from embargo.models import LexiconScorer
from embargo.models.scorers import Fit

class Scorer:
    knowledge_cutoff = None
    def __init__(self, until, place):
        self.identity, self.knowledge_cutoff, self.place = "mine 1", until, place
    def logits(self, texts):
        if self.place:
            Path(self.place).read_text()
        return LexiconScorer().logits(texts)

def read(request):
    until = request.trained_until
    scorer = Scorer(until, request.settings.get("place"))
    return Fit(scorer, trained_on=(), read=(), cutoff_source="counted", base_knowledge_cutoff=until)
"""


@pytest.mark.slow
@pytest.mark.parametrize("opens", [False, True])
def test_a_run_says_so(opens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"opening_reader_{opens}".lower()
    (tmp_path / f"{name}.py").write_text(READER, encoding="utf-8")
    (tmp_path / "labels.csv").write_text("a,b\n", encoding="utf-8")
    monkeypatch.setenv("EMBARGO_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = f'settings = {{ place = "{tmp_path / "labels.csv"}" }}' if opens else ""
    config = tmp_path / "mine.toml"
    config.write_text(
        'name = "mine"\n[news]\nloader = "simulated"\n'
        "simulated = { symbols = 4, start = 2015-01-01, end = 2015-12-31 }\n"
        '[prices]\nloader = "simulated"\n[split]\nfirst_test = 2015-07-01\nend = 2016-01-01\ntest_span = "3MS"\n'
        f'validation_span = "2MS"\n[model]\nkind = "{name}:read"\n{settings}\n'
        "[statistics]\nbootstrap = 200\npermutations = 99\n",
        encoding="utf-8",
    )
    done = embargo("run", config, "--out", tmp_path / "runs", "--allow", f"{name}:read")
    assert done.exit_code in (0, 4), done.output
    del sys.modules[name]
    run = only_run(tmp_path / "runs")
    found = json.loads((run / "findings.json").read_text(encoding="utf-8"))
    opened = {one["code"] for one in found if "labels.csv" in one["detail"] and one["verdict"] == "inconclusive"}
    assert opened == ({"T1", "M1", "M11"} if opens else set())
    models = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["models"]
    assert all(("files_read" in model) == opens for model in models)
    assert str(tmp_path.parent) not in json.dumps([model.get("files_read") for model in models])
    own = next(one["detail"] for one in found if one["code"] == "M1")
    assert "None" not in own
    assert "states that what it knew before its fit ends before the test" in own
