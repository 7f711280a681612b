"""The config is checked down to the last key, and its errors say what to do."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from samples.small_runs import embargo

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.simulated.grammar import MAX_SYMBOLS
from embargo.data_loaders.simulated.market import SimulatedMarket
from embargo.research.config.experiment import Config, load_config, parse_config

MINIMAL = """
name = "mine"
[news]
loader = "simulated"
[prices]
loader = "simulated"
[split]
first_test = 2018-01-01
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_minimal_config_has_realistic_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert config.costs.fee > 0
    assert config.costs.slippage > 0
    assert pd.Timedelta(config.prices.latency) == pd.Timedelta(minutes=5)
    assert config.split.first_test == pd.Timestamp("2018-01-01", tz="UTC")


def test_unknown_key_names_the_key_and_those_allowed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"signal\.halflife: unknown key; allowed here: .*half_life"):
        load_config(write(tmp_path, MINIMAL + "[signal]\nhalflife = 2\n"))


def test_unknown_key_in_a_nested_section(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"news\.simulated\.power: unknown key; allowed here: .*strength"):
        load_config(write(tmp_path, MINIMAL), ["news.simulated.power=1"])


def test_every_wrong_setting_is_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, MINIMAL), ["portfolio.gross=20", "model.method=dreamed", "signal.threshold=-1"])
    for key in ("portfolio.gross", "model.method", "signal.threshold"):
        assert key in str(caught.value)
    assert "'qlora', 'lora', 'dora'" in str(caught.value)


def test_missing_key_and_missing_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"split\.first_test: missing"):
        load_config(write(tmp_path, MINIMAL.replace("first_test = 2018-01-01", "")))
    with pytest.raises(ConfigError, match=r"news\.path is missing"):
        load_config(write(tmp_path, MINIMAL), ["news.loader=archive"])


STORED = """
name = "mine"
as_of = 2020-01-01
[news]
loader = "store"
path = "store"
[prices]
loader = "store"
path = "s3://bucket/store"
venue = "yahoo"
adjust = "splits"
[split]
first_test = 2018-01-01
"""


def test_a_store_is_read_as_of_an_instant_from_a_folder_or_an_address(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, STORED))
    assert config.as_of == pd.Timestamp("2020-01-01", tz="UTC")
    assert config.news.path == str(tmp_path / "store")
    assert config.prices.path == "s3://bucket/store"


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("news.timezone=UTC", r"news\.timezone: only for loader = 'archive'"),
        ("prices.filters={volume = {min = 1}}", r"prices\.filters: only for loader = 'archive'"),
        ("prices.loader=archive", r"prices\.venue belongs to loader = 'store'"),
        ("prices.venue=''", r"prices\.venue is missing"),
    ],
)
def test_settings_that_do_not_fit_the_loader_are_refused(tmp_path: Path, override: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_config(write(tmp_path, STORED), [override])
    with pytest.raises(ConfigError, match=r"news\.path is missing; point it at a store"):
        load_config(write(tmp_path, STORED.replace('path = "store"\n', "")))


def test_as_of_and_recorded_splits_need_a_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="as_of asks a store"):
        load_config(write(tmp_path, MINIMAL), ["as_of=2020-01-01"])
    with pytest.raises(ConfigError, match="recorded splits of a store"):
        load_config(write(tmp_path, STORED), ["prices.loader=archive", "prices.venue=''", "prices.adjust=splits"])


def test_spans_are_all_times_or_all_counts(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    counted = load_config(path, ["split.test_span=500", "split.validation_span=100", "split.train_span=1000"])
    assert (counted.split.test_span, counted.split.train_span) == (500, 1000)
    with pytest.raises(ConfigError, match="all be times or all be numbers"):
        load_config(path, ["split.test_span=500"])
    with pytest.raises(ConfigError, match=r"split\.validation_span"):
        load_config(path, ["split.test_span=500", "split.validation_span=0"])
    held = load_config(path, ["split.method=holdout", "split.validation_span=100"])
    assert held.split.validation_span == 100


def test_naive_instant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="time zone"):
        load_config(write(tmp_path, MINIMAL), ["split.end=2019-01-01T10:00:00"])
    config = load_config(write(tmp_path, MINIMAL), ["split.end=2019-01-01T10:00:00+02:00"])
    assert config.split.end == pd.Timestamp("2019-01-01T08:00", tz="UTC")


@pytest.mark.parametrize("value", ["soon", "-5min"])
def test_durations_are_checked(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"prices\.latency"):
        load_config(write(tmp_path, MINIMAL), [f"prices.latency={value}"])


def test_labelled_file_needs_a_knowledge_cutoff(tmp_path: Path) -> None:
    overrides = ["labels.source=file", "labels.path=x.parquet", "model.kind=linear"]
    with pytest.raises(ConfigError, match="knowledge_cutoff"):
        load_config(write(tmp_path, MINIMAL), overrides)


def test_as_many_symbols_are_simulated_as_there_are_names_for(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    most = load_config(path, [f"news.simulated.symbols={MAX_SYMBOLS}"]).news.simulated.symbols
    assert SimulatedMarket(n_symbols=most).n_symbols == most
    with pytest.raises(ConfigError, match=rf"news\.simulated\.symbols: .*{MAX_SYMBOLS}"):
        load_config(path, [f"news.simulated.symbols={MAX_SYMBOLS + 1}"])


def test_news_and_prices_are_simulated_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both be 'simulated'"):
        load_config(write(tmp_path, MINIMAL), ["prices.loader=archive", "prices.path=x.parquet"])


def test_broken_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(write(tmp_path, "name = "))
    with pytest.raises(ConfigError, match="no such config file"):
        load_config(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("base", "complaint"),
    [
        ("{}", "write the name of a base, or a table"),
        ("3", "write the name of a base, or a table"),
        ('{ 2013-13-31 = "a" }', "'2013-13-31' is no day"),
        ('{ 20131231 = "a" }', "'20131231' is no day"),
        ('{ 0013-12-31 = "a" }', "'0013-12-31' is no day"),
        ('{ 2013-12-31 = "" }', "names no vintage"),
        ('{ 2013-12-31 = "tiny" }', "names no vintage"),
        ("{ 2013-12-31 = { a = 1 } }", "names no vintage"),
        ('{ 2013-12-31 = "a", 2014-12-31 = "a" }', "'a' stands under more than one day"),
    ],
)
def test_vintages_are_days_and_names(tmp_path: Path, base: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.base: .*{complaint}"):
        load_config(write(tmp_path, MINIMAL), [f"model.base={base}"])


@pytest.mark.parametrize("override", ["seed", "=3", "seed.deeper=1"])
def test_malformed_overrides(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config(write(tmp_path, "seed = 1\n" + MINIMAL), [override])


def reading(news: str, prices: str = "prices.csv") -> str:
    return MINIMAL.replace('[news]\nloader = "simulated"', f'[news]\npath = "{news}"').replace(
        '[prices]\nloader = "simulated"', f'[prices]\npath = "{prices}"'
    )


def test_paths_are_relative_to_the_file_and_take_in_the_variables_that_were_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, reading("${EMBARGO_TEST_DATA}/news.csv", "${EMBARGO_TEST_ABSENT:-bars}/prices.csv"))
    monkeypatch.setenv("EMBARGO_TEST_DATA", "texts")
    monkeypatch.delenv("EMBARGO_TEST_ABSENT", raising=False)
    for env in (["EMBARGO_TEST_DATA"], ["EMBARGO_TEST_DATA", "EMBARGO_TEST_ABSENT"]):
        config = load_config(path, env=env)
        assert config.news.path == str(tmp_path / "texts" / "news.csv")
        assert config.prices.path == str(tmp_path / "bars" / "prices.csv")
    monkeypatch.delenv("EMBARGO_TEST_DATA")
    with pytest.raises(ConfigError, match=r"news\.path uses .*EMBARGO_TEST_DATA.*not set.*--env EMBARGO_TEST_DATA"):
        load_config(path, env=["EMBARGO_TEST_DATA"])


@pytest.mark.parametrize("named", [[], ["EMBARGO_TEST_OTHER"]])
@pytest.mark.parametrize("written", ["${EMBARGO_TEST_DATA}/n.csv", "s3://desk/${EMBARGO_TEST_DATA:-x}/n.csv"])
def test_a_variable_that_nobody_named_is_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, named: list[str]
) -> None:
    monkeypatch.setenv("EMBARGO_TEST_DATA", "told-to-nobody")
    with pytest.raises(ConfigError, match="--env EMBARGO_TEST_DATA") as caught:
        load_config(write(tmp_path, reading(written)), env=named)
    assert "told-to-nobody" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "HF_TOKEN",
        "apikey",
        "DB_PASSWORD",
        "PG_PASS",
        "GITHUB_PAT",
        "MY_CREDENTIALS",
        "BASIC_AUTH",
    ],
)
@pytest.mark.parametrize("fallback", ["", ":-x"])
def test_a_variable_that_looks_like_a_key_is_refused_whoever_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fallback: str
) -> None:
    path = write(tmp_path, reading(f"s3://desk/${{{name}{fallback}}}/n.csv"))
    monkeypatch.setenv(name, "told-to-nobody")
    for env in ([name], []):
        with pytest.raises(ConfigError, match=f"{name}.*by its name holds a key") as caught:
            load_config(path, env=env)
        assert "told-to-nobody" not in str(caught.value)


@pytest.mark.parametrize("name", ["AUTHOR_DIR", "DATA_PATH", "COMPASS", "PATTERNS", "EMBARGO_REAL_DATA", "PASSAGE"])
def test_a_folder_by_a_name_like_that_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "texts")
    config = load_config(write(tmp_path, reading(f"${{{name}}}/n.csv")), env=[name])
    assert config.news.path == str(tmp_path / "texts" / "n.csv")


@pytest.mark.parametrize("place", ["~nobody-of-this-name/n.csv", "a\\u0000b"])
def test_a_path_that_can_be_none_is_an_error_of_the_config(tmp_path: Path, place: str) -> None:
    with pytest.raises(ConfigError, match=r"news\.path: is no path"):
        load_config(write(tmp_path, reading(place)))


def test_every_command_that_reads_a_config_takes_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_TEST_DATA", "told-to-nobody")
    config = write(tmp_path, reading("${EMBARGO_TEST_DATA}/n.csv"))
    tune = tmp_path / "tune.toml"
    tune.write_text(
        'name = "x"\n[labels]\nsource = "file"\npath = "${EMBARGO_TEST_DATA}"\nknowledge_cutoff = 2014-12-31\n'
    )
    collect = tmp_path / "collect.toml"
    collect.write_text('store = "${EMBARGO_TEST_DATA}"\n[yahoo]\nsymbols = ["A"]\n')
    commands = {
        "run": [config],
        "validate": [config],
        "sweep": [config, "--grid", "signal.half_life=1,2"],
        "paths": [config],
        "tune": [tune],
        "collect": [collect],
        "data": ["check", config],
    }
    for command, words in commands.items():
        refused = embargo(command, *words)
        assert refused.exit_code == 2, (command, refused.output)
        assert "--env EMBARGO_TEST_DATA" in refused.output.replace("\n", " ")
        assert "told-to-nobody" not in refused.output
    for command in ("run", "validate", "data"):
        let = embargo(command, *commands[command], "--env", "EMBARGO_TEST_DATA")
        assert let.exit_code != 0
        assert "told-to-nobody" in let.output.replace("\n", "")
        assert "--env" not in let.output


def test_written_config_reads_back_equal(tmp_path: Path) -> None:
    text = (
        MINIMAL + '[labels]\nmapping = { "very good" = "bullish", bad = "bearish" }\n[report]\ntitle = "A \\"b\\" ü"\n'
    )
    config = load_config(write(tmp_path, text))
    again = load_config(write(tmp_path, config.to_toml()))
    assert again == config


def test_fingerprint_sees_settings_and_ignores_names_and_places(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    config = load_config(path)
    renamed = load_config(path, ["name=other", "report.title=x"])
    assert renamed.fingerprint() == config.fingerprint()
    moved = config.model_copy(update={"news": config.news.model_copy(update={"path": "/elsewhere"})})
    assert moved.fingerprint() == config.fingerprint()
    assert load_config(path, ["signal.half_life=3"]).fingerprint() != config.fingerprint()
    assert load_config(path, ["seed=1"]).fingerprint() != config.fingerprint()


def test_closed_days_and_extra_sessions_amend_the_calendar(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    plain = load_config(path)
    assert plain.prices.trading_calendar == "XNYS"
    sunday = 'prices.extra_sessions=["2023-11-12 18:15-19:15"]'
    config = load_config(path, ["prices.calendar=XBOM", "prices.closed=[2024-05-20]", sunday])
    assert config.prices.trading_calendar == "XBOM -2024-05-20 +2023-11-12@18:15-19:15"
    assert parse_config(config.to_dict(), where="again") == config
    (tmp_path / "again.toml").write_text(config.to_toml(), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == config
    other = load_config(path, ["prices.calendar=XBOM", sunday])
    assert other.fingerprint() != config.fingerprint()
    assert load_config(path, ["prices.closed=[]"]).fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("prices.closed=['1.9.2023']", "prices.closed.0: '1.9.2023' is no day"),
        ("prices.closed=[2023-09-01T00:00:00]", "prices.closed.0: .* is no day"),
        ("prices.extra_sessions=['2023-11-12']", "prices.extra_sessions.0: .*hours of their own"),
        ("prices.calendar='24/7 -2023-09-01'", "never closes"),
    ],
)
def test_amendments_that_are_none_are_refused_by_key(tmp_path: Path, override: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_config(write(tmp_path, MINIMAL), [override])


@pytest.mark.parametrize(
    "path",
    sorted(
        path
        for path in (Path(__file__).parents[3] / "research").glob("ex*/*.toml")
        if path.stem != "collect"  # no experiment; see test_collecting
    ),
    ids=lambda path: path.stem,
)
def test_shipped_configs_are_valid(path: Path) -> None:
    assert isinstance(load_config(path), Config)


@pytest.mark.parametrize("override", ["model.knowledge_cutoff=2016-06-30", "model.revision=abc"])
def test_a_base_that_is_made_here_has_a_cutoff_of_its_own(tmp_path: Path, override: str) -> None:
    path = write(tmp_path, MINIMAL)
    with pytest.raises(ConfigError, match=r"belongs to a base that comes from elsewhere.*built-in 'tiny-lm'"):
        load_config(path, ["model.base=tiny-lm", override])
    load_config(path, ["model.base=minilm", override])
    load_config(path, ["model.kind=linear", override])


def test_a_faster_scorer_is_asked_for_and_fits_the_model(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    assert load_config(path).model.scorer == "torch"
    assert load_config(path, ["model.scorer=onnx-int8"]).model.scorer == "onnx-int8"
    for setting, message in (
        ("model.kind=linear", "kind = 'linear' needs none"),
        ("model.method=prompt", "needs an adapter that can be merged, which 'prompt' gives none"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(path, ["model.scorer=onnx", setting])
    assert load_config(path, ["model.scorer=auto", "model.method=prompt"]).model.scorer == "auto"
    with pytest.raises(ConfigError, match=r"model\.scorer"):
        load_config(path, ["model.scorer=tensorrt"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("name=My_Run", "name: write small letters, digits, '-' and '_' only"),
        ("seed=-1", "1 setting is wrong"),
        ("labels.horizon_bars=18446744073709551616", "labels.horizon_bars"),
        ("signal.sectors=1", "signal.sectors: write a table of keys and values"),
        ("portfolio=[]", "portfolio: this is a section: write a table of keys and values"),
        ("prices.symbols=AAPL", "prices.symbols: write a list"),
        ("labels.horizon_bars=true", "expected no true or false here"),
        ("prices.latency=5", "prices.latency: write a text, in quotes"),
        ('prices.latency="5"', "'5' names no unit of time"),
        ("prices.latency=NaT", "'NaT' names no unit of time"),
        ("split.embargo=1MS", "'1MS' is no fixed length of time; write days"),
        ("split.embargo=99999D", "longer than a century"),
        ("split.first_test=0001-01-01", "the year 1 is none from 1800 to 2200"),
        ("news.timezone=Nowhere", "timezone = 'Nowhere' is unknown"),
        ("news.time_format=%H:%M", "tells no year, month and day"),
        ("prices.delimiter=ab", "delimiter = 'ab' is no single sign"),
        ("labels.encoding=klingon", "encoding = 'klingon' is unknown"),
    ],
)
def test_what_is_mistyped_is_told_in_the_words_of_the_file(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, MINIMAL), [override])
    assert said in str(caught.value)
    for raw in ("pattern", "instance of", "dictionary", "tuple"):
        assert raw not in str(caught.value)


def test_how_files_are_written_is_no_matter_for_a_store(tmp_path: Path) -> None:
    stored = ["news.loader=store", "news.path=s", "prices.loader=store", "prices.path=s", "prices.venue=v"]
    load_config(write(tmp_path, MINIMAL), stored)
    with pytest.raises(ConfigError, match=r"news\.header: only for loader = 'archive'"):
        load_config(write(tmp_path, MINIMAL), [*stored, "news.header=false"])
    with pytest.raises(ConfigError, match=r"prices\.time_format: only for loader = 'archive'"):
        load_config(write(tmp_path, MINIMAL), [*stored, "prices.time_format=%Y%m%d"])


def test_settings_left_alone_leave_the_fingerprint_what_it_was(tmp_path: Path) -> None:
    plain = load_config(write(tmp_path, MINIMAL))
    assert load_config(write(tmp_path, MINIMAL), ["news.header=true"]).fingerprint() == plain.fingerprint()
    assert load_config(write(tmp_path, MINIMAL), ["news.header=false"]).fingerprint() != plain.fingerprint()
