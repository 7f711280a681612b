"""What a notebook or script calls: the commands ``demo``, ``run`` and ``compare`` as functions that hand back results.

Each does what the command of its name does, writes the same files, and raises the same errors. A leak that the audit
finds is part of the result and raises nothing: the run says ``invalid``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from embargo.data_loaders.errors import ConfigError
from embargo.research.cache import cache_folder, folder_for
from embargo.research.config.experiment import Config, load_config, override, parse_config
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet, shown
from embargo.research.records.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from embargo.data_loaders.schemas import Prices
    from embargo.research.studies.compare.comparison import Comparison


def demo(
    seed: int = 0,
    strength: float = 1.0,
    out: str | Path = "runs",
    cache: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> Run:
    """Run the whole job on a simulated market whose truth is known; needs no data, network or keys.

    Parameters
    ----------
    seed : int, default 0
        Of the market and of everything else.
    strength : float, default 1.0
        How strongly prices react to news, from 0, a market where news means nothing, to 5.
    out : str or Path, default "runs"
        Folder that receives the run's own folder.
    cache : str or Path, optional
        Where base models, adapters and scores are kept; by default ``$EMBARGO_CACHE`` or the user's cache folder.
    overrides : sequence of str, optional
        Settings that replace the demo's, such as ``"signal.half_life=2"``.
    progress : bool, default True
        Whether to show each stage on the standard error.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        If a setting is out of range.

    Examples
    --------
    With a word list in the place of a tuned model it takes seconds instead of minutes:

    >>> import tempfile
    >>> import embargo
    >>> small = ["model.kind=lexicon", "news.simulated.symbols=4", "split.end=2018-07-01", "split.test_span=6MS"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = embargo.demo(strength=2.0, out=folder, cache=folder, overrides=small, progress=False)
    >>> found.status, found.metrics["n_bars"]
    ('valid', 125)
    """
    with example("demo") as path:
        config = load_config(path, [f"seed={seed}", f"news.simulated.strength={strength}", *overrides])
    return run(config, out, cache, progress=progress)


def run(
    config: str | Path | Mapping[str, Any] | Config,
    out: str | Path = "runs",
    cache: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    allow: Collection[str] = (),
    progress: bool = True,
) -> Run:
    """Run one experiment, write its folder and report, and hand it back.

    Parameters
    ----------
    config : str, Path, mapping or Config
        A TOML file, or the same settings as a nested mapping, whose relative paths start from the current folder.
    out : str or Path, default "runs"
        Folder that receives the run's own folder.
    cache : str or Path, optional
        Where base models, adapters and scores are kept; by default ``$EMBARGO_CACHE`` or the user's cache folder.
    overrides : sequence of str, optional
        Settings that replace those of a file or mapping, such as ``"signal.half_life=2"``.
    allow : collection of str
        Readers and loaders of your own that the config may run, as ``"package.module:name"``: it may be borrowed.
    progress : bool, default True
        Whether to show each stage on the standard error.

    Returns
    -------
    Run
        With status ``invalid`` if the audit found a leak.

    Raises
    ------
    ConfigError
        If a key is unknown, missing or out of range; the message names each.
    MissingPartError
        If ``out`` or ``cache`` cannot be a folder.
    EmbargoError
        Whatever is wrong with the data.

    Examples
    --------
    >>> import tempfile
    >>> import embargo
    >>> settings = {
    ...     "name": "small",
    ...     "news": {"loader": "simulated", "simulated": {"symbols": 4, "start": "2015-01-01", "end": "2015-12-31"}},
    ...     "prices": {"loader": "simulated"},
    ...     "split": {"first_test": "2015-07-01"},
    ...     "model": {"kind": "lexicon"},
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = embargo.run(settings, out=folder, cache=folder, progress=False)
    >>> round(found.metrics["sharpe"], 2), len(found.returns)
    (0.03, 128)
    """
    # Loaded here because a run needs every package, and who reads finished runs needs none of them.
    from embargo.research.run.pipeline import execute
    from embargo.research.screen import Screen

    settings = _settings(config, overrides, allow)
    folders = {"out": folder_for("out", Path(out)), "cache": cache_folder(None if cache is None else Path(cache))}
    if progress:
        with shown(Screen(stderr=True)) as stages:
            outcome = execute(settings, out=folders["out"], cache=folders["cache"], stages=stages)
    else:
        outcome = execute(settings, out=folders["out"], cache=folders["cache"], stages=Quiet())
    return Run.load(outcome.folder)


def _settings(
    config: str | Path | Mapping[str, Any] | Config, overrides: Sequence[str], allow: Collection[str]
) -> Config:
    if isinstance(overrides, str):
        raise ConfigError(f"overrides: expected several, got the text {overrides!r}. Write [{overrides!r}].")
    if isinstance(config, str | Path):
        return load_config(Path(config), list(overrides), allow=allow)
    if isinstance(config, Config):
        config = config.allowing(allow)
        if not overrides:
            return config
        allow, config = config.allow, config.to_dict()
    if not isinstance(config, Mapping):
        raise TypeError(f"config: expected a TOML file, a mapping or a Config, got {type(config).__name__}.")
    document = _copied(config)
    for text in overrides:
        override(document, text)
    return parse_config(document, where="settings", allow=allow)


def _copied(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a nested mapping, so that an override leaves the caller's own as it was; paths become texts."""
    return {name: _plain(value) for name, value in settings.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _copied(value)
    return str(value) if isinstance(value, PurePath) else value


def compare(*runs: str | Path | Run, against: str | Path | Run | None = None, by: str | None = None) -> Comparison:
    """Compare finished runs on the bars they share: every figure with its interval, every difference with its p-value.

    Parameters
    ----------
    *runs : str, Path or Run
        At least two different ones, or their folders.
    against : str, Path or Run, optional
        The run to be the base; by default the first.
    by : str, optional
        ``"regime"`` for every definition of regimes that the base has, or the name of one. By default none.

    Returns
    -------
    Comparison
        ``cells``, ``differences`` and ``questions`` are frames; Sharpe ratios are per year, the run's minus the base's.

    Raises
    ------
    MissingPartError, DataError
        If a folder is no whole run, or the runs share fewer than 30 bars.
    ConfigError
        If there are fewer than two runs, one is named twice, or ``against`` or ``by`` names nothing that is there.

    Examples
    --------
    >>> import tempfile
    >>> import embargo
    >>> small = ["model.kind=lexicon", "news.simulated.symbols=4", "split.end=2018-07-01", "split.test_span=6MS"]
    >>> quiet = {"progress": False}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     slow = embargo.demo(out=folder, cache=folder, overrides=small, **quiet)
    ...     fast = embargo.demo(out=folder, cache=folder, overrides=[*small, "signal.half_life=1"], **quiet)
    ...     found = embargo.compare(slow, fast)
    >>> len(found.differences), found.figures["n_bars"]
    (1, 125)
    """
    # Loaded here because statistics take longer to load than runs to read.
    from embargo.research.studies.compare.comparison import compare as found_between

    named = str(_folder(against)) if isinstance(against, Run | Path) else against
    return found_between([_folder(run) for run in runs], against=named, by=by)


def audit(
    run: str | Path | Run | None = None,
    *,
    signal: Callable[..., pd.DataFrame] | None = None,
    weights: pd.DataFrame | str | Path | None = None,
    prices: Prices | str | Path | None = None,
    news: pd.DataFrame | str | Path | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Return what the audit of a finished run found, or audit a strategy that was made elsewhere; the gravest first.

    The audit is part of every run and cannot be switched off; of a run this reads its findings and checks nothing anew.
    Of a function that makes weights (``signal``), or of weights alone, every check is asked that applies
    (`embargo.research.studies.strategy.audit_strategy`), and the rest of the catalogue is listed as ``not-tested`` with
    what the answer would need.

    Parameters
    ----------
    run : str, Path or Run, optional
        A run, or its folder.
    signal : callable, optional
        ``fn(prices)``, or ``fn(news, prices)`` where news is given: weights, one row per bar of the prices it is given.
    weights : DataFrame, str or Path, optional
        Instead: what it made, shape (bars, symbols), indexed by ``open_at`` (UTC), or a file of them.
    prices : Prices, str or Path, optional
        Bars of the strategy, or a file of them (with ``calendar`` and ``bar``).
    news : DataFrame, str or Path, optional
        Articles that it read: ``symbol`` and ``known_at``, and what else there is.
    **options
        Of a strategy: ``calendar, bar, orders, returns, weighting, costs, execution, latency, trials, adjusted,
        symbols_chosen_at, periods_per_year, rows, seed``, as `audit_strategy` describes them.

    Returns
    -------
    DataFrame
        One row per check: ``code, verdict, title, detail, effect, unit, remedy, evidence``. The verdict is ``leak``,
        ``suspicious``, ``inconclusive``, ``pass`` or ``not-applicable``, and of a strategy also ``not-tested``;
        ``effect`` is in ``unit``.

    Raises
    ------
    MissingPartError, DataError
        If the folder is no whole run, its findings cannot be read, or the strategy does not fit its prices and news.
    ConfigError
        If a run and a strategy are given at once, or neither.
    TypeError
        If an option is unknown.

    Examples
    --------
    >>> import tempfile
    >>> import embargo
    >>> small = ["model.kind=lexicon", "news.simulated.symbols=4", "split.end=2018-07-01", "split.test_span=6MS"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = embargo.audit(embargo.demo(out=folder, cache=folder, overrides=small, progress=False))
    >>> "leak" in set(found["verdict"])
    False
    """
    if run is not None:
        if any(each is not None for each in (signal, weights, prices, news)) or options:
            raise ConfigError("audit: give either a finished run, or signal= or weights= with prices=, not both.")
        return (run if isinstance(run, Run) else Run.load(run)).findings
    if prices is None:
        raise ConfigError("audit: give a finished run, or signal= or weights= with prices=.")
    # Loaded here because who reads finished runs trades nothing.
    from embargo.research.studies.strategy import audit_strategy

    return audit_strategy(signal=signal, weights=weights, prices=prices, news=news, **options)


def _folder(run: str | Path | Run) -> Path:
    return run.folder if isinstance(run, Run) else Path(run)
