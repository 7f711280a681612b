"""What is loaded for the commonest questions: counted in modules, which unlike seconds are the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import embargo

HEAVY = {
    *("torch", "transformers", "peft", "tokenizers", "vectorbt", "numba", "scipy", "statsmodels", "sklearn", "arch"),
    *("plotly", "matplotlib", "jinja2", "duckdb", "ccxt", "yfinance", "pandera", "exchange_calendars"),
}
TABLES = {"pandas", "numpy", "pyarrow"}
DRAWN = {"typer", "rich"}

PROBE = """
import gc, json, sys
looked = []
# Before the command line has begun, Python looks for garbage after every few things.
gc.callbacks.append(lambda phase, _: looked.append(phase) if gc.get_threshold()[0] > 1_000 else None)
try:
    {code}
except SystemExit as ended:
    assert not ended.code, ended.code
print("\\n" + json.dumps(sorted({told})))
"""
TOP = "{name.partition('.')[0] for name in sys.modules}"
COMMAND = "from embargo.research.cli.entry import main; sys.argv[0] = 'embargo'; main()"


def loaded(code: str, *arguments: str, told: str = TOP, **environment: str) -> set[str]:
    """Names of all top-level modules that a fresh interpreter holds after some code, or what else it is to tell."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code, told=told), *arguments],
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_help_and_version_load_neither_packages_nor_what_draws(asked: str) -> None:
    assert not loaded(COMMAND, asked) & (HEAVY | TABLES | DRAWN)


def test_the_name_of_the_package_loads_nothing() -> None:
    assert not loaded("import embargo; dir(embargo); embargo.__version__") & (HEAVY | TABLES | DRAWN)


@pytest.mark.parametrize("command", ["run", "tune", "fetch", "data", "export-run"])
def test_the_help_of_a_command_loads_no_data_and_no_models(command: str) -> None:
    assert not loaded(COMMAND, command, "--help") & (HEAVY | TABLES)


def test_completing_a_command_loads_no_data_and_no_models() -> None:
    words = {"_EMBARGO_COMPLETE": "complete_bash", "COMP_WORDS": "embargo va", "COMP_CWORD": "1"}
    assert not loaded(COMMAND, **words) & (HEAVY | TABLES)


def config_of(kind: str, folder: Path) -> Path:
    config = folder / "small.toml"
    config.write_text(
        'name = "small"\n[news]\nloader = "simulated"\n'
        "simulated = { symbols = 4, start = 2015-01-01, end = 2015-12-31 }\n"
        '[prices]\nloader = "simulated"\n[split]\nfirst_test = 2015-07-01\n'
        f'[statistics]\nbootstrap = 200\npermutations = 99\n[model]\nkind = "{kind}"\n'
    )
    return config


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A cache in which the first command left the calendar that it made, which all others read."""
    place = tmp_path_factory.mktemp("start")
    kept = {"EMBARGO_CACHE": str(place / "cache"), "EMBARGO_LEDGER": str(place / "ledger")}
    found = loaded(COMMAND, "validate", str(config_of("lexicon", place)), **kept)
    assert found & HEAVY == {"exchange_calendars"}
    return kept


# Nothing that asks the data again what is kept, or lays out what a run made.
ASKED_ANEW = {
    *("embargo.data_loaders.checks.all_checks", "embargo.data_loaders.checks.moves"),
    *("embargo.data_loaders.checks.copies", "embargo.data_loaders.checks.jumps"),
}
OF_A_RUN = {"embargo.research.records.by_regime", "embargo.research.records.metrics", "embargo.research.run.by_regime"}


# A transformer is checked without what trains or calibrates it.
@pytest.mark.parametrize("kind", ["linear", "transformer"])
def test_a_config_is_checked_without_what_only_a_run_needs(kind: str, tmp_path: Path, kept: dict[str, str]) -> None:
    assert not loaded(COMMAND, "validate", str(config_of(kind, tmp_path)), **kept) & HEAVY


def test_a_config_whose_data_were_checked_before_loads_no_checks(tmp_path: Path, kept: dict[str, str]) -> None:
    asked = ("validate", str(config_of("lexicon", tmp_path)))
    found = loaded(COMMAND, *asked, told="sys.modules", **kept)
    assert "embargo.research.run.preparation" in found
    assert not found & (ASKED_ANEW | OF_A_RUN)


def test_a_config_is_checked_without_a_look_for_garbage(tmp_path: Path, kept: dict[str, str]) -> None:
    """What is loaded stays for good, so that no look through it would find anything, the one at the end included."""
    told = "[*looked, str(gc.get_freeze_count() > 100_000), str(__import__('duckdb').sql('SELECT 42').fetchall())]"
    asked = ("validate", str(config_of("lexicon", tmp_path)))
    # duckdb complains at the end of whatever is still held of it, which `loaded` would say.
    assert loaded(COMMAND, *asked, told=told, **kept) == {"True", "[(42,)]"}


def test_a_run_of_the_linear_reader_loads_neither_torch_nor_exchanges(tmp_path: Path, kept: dict[str, str]) -> None:
    run = ("run", str(config_of("linear", tmp_path)), "--out", str(tmp_path / "runs"))
    found = loaded(COMMAND, *run, **kept)
    assert {"sklearn", "vectorbt"} <= found
    assert not found & (HEAVY - {"vectorbt", "scipy", "numba", "sklearn", "plotly", "jinja2"})
    again = loaded(COMMAND, *run, **kept)
    assert not again & (HEAVY - {"scipy", "numba", "sklearn", "plotly", "jinja2"})


def test_scores_are_named_without_torch() -> None:
    code = (
        "from embargo.models.loading.devices import device_type, multiplies_in_bf16; "
        "from embargo.models.tuning.optimisers import resolve_optimizer; "
        "device_type(), multiplies_in_bf16(), resolve_optimizer('auto', 'qlora')"
    )
    found = loaded(code)
    from embargo.models.loading.devices import device_type

    assert "torch" not in found or device_type() == "cuda"


def test_the_settings_of_an_endpoint_are_read_without_what_asks_it() -> None:
    found = loaded("import embargo.research.config.model; from embargo.models import EndpointSettings")
    assert not found & ({"openai", "httpx2", "asyncio"} | HEAVY - {"pandera"})


def test_every_name_in_the_door_opens() -> None:
    assert set(embargo.__all__) == set(dir(embargo))
    for name in embargo.__all__:
        assert getattr(embargo, name) is not None


def test_the_backtest_in_the_door_is_the_package_and_can_be_called() -> None:
    import embargo.backtest.metrics as metrics

    assert embargo.backtest.metrics is metrics
    assert callable(embargo.backtest)
