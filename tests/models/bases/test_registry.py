import subprocess
import sys

import pandas as pd
import pytest

from embargo.backtest.leakage import check_base_cutoff
from embargo.data_loaders.errors import DataError
from embargo.models.bases import registry
from embargo.models.bases.registry import (
    canonical_name,
    known_base,
    known_bases,
    last_instant,
    mistyped,
    registered,
    similar_names,
)


def utc(text):
    return pd.Timestamp(text, tz="UTC")


def test_every_base_says_what_its_cutoff_rests_on():
    for name, known in registered().items():
        assert known.kind in {"encoder", "decoder"}, name
        assert known.evidence in {"documented", "release"}, name
        assert len(known.source) > 30, name
        assert ("upper bound" in known.source) == (known.evidence == "release"), name
        day = pd.Timestamp(known.knowledge_cutoff)
        assert day == day + pd.offsets.MonthEnd(0), f"{name}: a month is known to its end"
        assert 1999 <= day.year <= 2025, name
        assert known.parameters is None or 10**7 <= known.parameters <= 10**11, name


def test_every_name_means_one_base():
    names = [name.lower() for name in registered()]
    found = registry._registry()
    assert len(set(names)) == len(names) == 172
    assert set(found.aliases.values()) <= set(registered())
    assert not {alias.lower() for alias in found.aliases} & set(names)
    assert known_base("GPT2") == registered()["openai-community/gpt2"]
    assert known_base("nobody/nothing") is None


FAMILY = """
[[family]]
kind = "encoder"
knowledge_cutoff = 2018-10-31
evidence = "release"
source = "said somewhere"
bases = [{ name = "one/base" }]
"""


@pytest.mark.parametrize(
    ("written", "instead", "error"),
    [
        ('kind = "encoder"', 'kind = "seer"', "impossible"),
        ('evidence = "release"', 'evidence = "hearsay"', "impossible"),
        ("2018-10-31", '"2018-10-31"', "impossible"),
        ('source = "said somewhere"', "", "'source'. missing"),
        ('name = "one/base"', 'name = "one/base", params = 3', "'params'. are unknown"),
        ('{ name = "one/base" }', '{ name = "one/base" }, { name = "one/base" }', "listed twice"),
        (
            'bases = [{ name = "one/base" }]',
            'series = "all"\nbases = [{ name = "one/base" }, { name = "two" }]',
            "two vintages of one day",
        ),
    ],
)
def test_a_registry_that_says_nonsense_is_refused(tmp_path, monkeypatch, written, instead, error):
    path = tmp_path / "registry.toml"
    path.write_text(FAMILY)
    monkeypatch.setattr(registry, "FILE", path)
    read = registry._registry.__wrapped__
    assert read().bases["one/base"].knowledge_cutoff == "2018-10-31"
    path.write_text(FAMILY.replace(written, instead))
    with pytest.raises(DataError, match=error):
        read()


def test_the_registry_is_read_when_a_base_is_asked_for_and_not_before():
    script = "import embargo.models.bases.resolve; from embargo.models.bases.registry import _registry as read;"
    script += "assert read.cache_info().currsize == 0; print(embargo.models.bases.resolve.known_base('gpt2').evidence)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "documented"


# As the model cards say, read off by hand and not from the registry.
@pytest.mark.parametrize(
    ("name", "cutoff", "evidence"),
    [
        ("meta-llama/Llama-2-7b-hf", "2022-09-30", "documented"),
        ("meta-llama/Llama-2-7b-chat-hf", "2023-07-31", "documented"),
        ("meta-llama/Meta-Llama-3-8B", "2023-03-31", "documented"),
        ("meta-llama/Meta-Llama-3-70B", "2023-12-31", "documented"),
        ("meta-llama/Llama-3.1-8B", "2023-12-31", "documented"),
        ("meta-llama/Llama-3.2-1B", "2023-12-31", "documented"),
        ("microsoft/Phi-3-mini-4k-instruct", "2023-10-31", "documented"),
        ("microsoft/phi-4", "2024-06-30", "documented"),
        ("allenai/OLMo-2-1124-13B", "2023-12-31", "documented"),
        ("manelalab/chrono-bert-v1-20041231", "2004-12-31", "documented"),
        ("Qwen/Qwen2.5-0.5B", "2024-09-30", "release"),
    ],
)
def test_cutoffs_are_those_of_the_cards(name, cutoff, evidence):
    assert (registered()[name].knowledge_cutoff, registered()[name].evidence) == (cutoff, evidence)


def test_a_tuned_variant_never_knows_less_than_its_base():
    pairs = [(name, name.removesuffix("-Instruct")) for name in registered() if name.endswith("-Instruct")]
    pairs += [(name, name.removesuffix("-it") + "-pt") for name in registered() if name.endswith("-it")]
    pairs = [(tuned, base) for tuned, base in pairs if base in registered()]
    assert len(pairs) > 15
    for tuned, base in pairs:
        assert registered()[tuned].knowledge_cutoff >= registered()[base].knowledge_cutoff, tuned


def test_a_contested_cutoff_takes_the_later_date():
    for name in (name for name in registered() if name.startswith("google/gemma-3-")):
        assert registered()[name].knowledge_cutoff == "2025-03-31", name
        assert "August 2024" in registered()[name].source


def test_labelled_sets_are_declared():
    exposed = {name for name, known in registered().items() if "financial_phrasebank" in known.exposures}
    assert {"ProsusAI/finbert", "ahmedrachid/FinancialBERT-Sentiment-Analysis"} <= exposed
    assert "yiyanghkust/finbert-pretrain" not in exposed


def test_the_table_holds_every_base_once_with_its_last_instant():
    table = known_bases()
    assert table.columns.tolist() == ["name", "kind", "parameters", "cutoff", "evidence", "source", "exposures"]
    assert set(table["name"]) == set(registered())
    assert table["name"].is_unique
    assert str(table["cutoff"].dtype) == "datetime64[us, UTC]"
    assert str(table["parameters"].dtype) == "Int64"
    row = table.set_index("name").loc["google-bert/bert-base-uncased"]
    assert (row["cutoff"], row["parameters"]) == (utc("2018-10-31 23:59:59.999999"), 110_000_000)
    assert table["kind"].is_monotonic_decreasing or table["kind"].is_monotonic_increasing


def test_names_are_found_whatever_their_case_or_short_form():
    assert canonical_name("bert-base-uncased") == "google-bert/bert-base-uncased"
    assert canonical_name("prosusai/FinBERT") == "ProsusAI/finbert"
    assert canonical_name("meta-llama/Meta-Llama-3.1-8B") == "meta-llama/Llama-3.1-8B"
    assert canonical_name("nobody/nothing") == "nobody/nothing"
    assert len({name.lower() for name in registered()}) == len(registered())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("google-bert/bert-base-uncasd", "google-bert/bert-base-uncased"),
        ("meta-llama/Lama-3.2-1B", "meta-llama/Llama-3.2-1B"),
        ("Qwen/Qwen2.5-0.5B-Instrct", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("finbrt", "finbert"),
    ],
)
def test_a_slip_of_the_keyboard_is_recognised(name, meant):
    assert mistyped(name)[0] == meant


@pytest.mark.parametrize("name", ["Qwen/Qwen1.5-7B", "mistralai/Mistral-7B-v0.4", "microsoft/deberta-base", "a/b"])
def test_another_version_is_no_slip(name):
    assert mistyped(name) == []


def test_half_a_name_is_completed():
    assert similar_names("Llama-3.2-1b")[0] == "meta-llama/Llama-3.2-1B"
    assert similar_names("zzzz") == []


def test_the_audit_passes_a_base_from_before_the_test_and_suspects_the_others():
    known = registered()["meta-llama/Llama-2-7b-hf"]
    cutoff = last_instant(known.knowledge_cutoff)
    verdicts = [
        check_base_cutoff("llama", cutoff, utc(start), utc("2025-01-01"), known.source).verdict
        for start in ("2022-10-01", "2022-09-30")
    ]
    assert verdicts == ["pass", "suspicious"]
    assert check_base_cutoff("x", None, utc("2024-01-01"), utc("2025-01-01"), "not documented").verdict == "suspicious"
