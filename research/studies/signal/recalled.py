"""A run read back from its folder: its signal, weights and scored news, and the prices it was made with.

Prices are not copied into a run. They are loaded again as its config says, and their content must have the fingerprint
that the manifest keeps: a figure about other prices than the run's would be about nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.schemas import Prices
from embargo.models.content import MANIFEST
from embargo.research.config.experiment import Config, load_config
from embargo.research.progress import Stages
from embargo.research.records.finished import need_run, settings_of
from embargo.research.records.folders import CONFIG, METRICS, check_headline
from embargo.research.records.sealed import read_figures, read_manifest, read_table
from embargo.research.run.world import load_world
from embargo.signals.diagnostics.diagnosis import CONFIDENT, HORIZONS, Diagnosis, diagnose

_TABLES = ("signal", "weights", "articles")


@dataclass(frozen=True)
class RecalledRun:
    """What signal research needs of a run.

    Attributes
    ----------
    name : str
    status : str
        ``valid``, ``caution`` or ``invalid``, as the run's audit left it.
    config : Config
    signal, weights : DataFrame, shape (bars, symbols)
    articles : DataFrame
        Scored news with ``row`` and ``column``.
    prices : Prices
        All bars that the config loads.

    Examples
    --------
    >>> from importlib.resources import files
    >>> import pandas as pd
    >>> from embargo.research import Quiet, load_config, prepare
    >>> from embargo.research.studies.signal import RecalledRun
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> prices, held = plan.world.prices, plan.world.prices.open.iloc[plan.rows] * 0.0
    >>> run = RecalledRun("small-1a2b3c4d", "valid", plan.config, held, held, pd.DataFrame(), prices)
    >>> run.weights.shape
    (128, 4)
    """

    name: str
    status: str
    config: Config
    signal: pd.DataFrame
    weights: pd.DataFrame
    articles: pd.DataFrame
    prices: Prices


def recall(folder: Path, stages: Stages, *, allow: Collection[str] = ()) -> RecalledRun:
    """Read a run back.

    Parameters
    ----------
    folder : Path
        A run's folder, such as ``runs/demo-1a2b3c4d``.
    stages : Stages
        Shows progress.
    allow : collection of str
        Loaders of one's own that the run's config may run; see `embargo.research.config.load_config`.

    Returns
    -------
    RecalledRun

    Raises
    ------
    MissingPartError
        If the folder is no run, or a file of it or of its data is gone.
    DataError
        If a file cannot be read or was changed after the run, or news or prices are not what the run was made with.
    ConfigError
        If the config was written by a version that knew other settings.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, execute, load_config
    >>> from embargo.research.studies.signal import recall
    >>> config = load_config(files("embargo.research.examples") / "small.toml")
    >>> with TemporaryDirectory() as folder:
    ...     made = execute(config, out=Path(folder) / "runs", cache=Path(folder) / "cache", stages=Quiet())
    ...     run = recall(made.folder, Quiet())
    >>> run.status, run.signal.shape
    ('valid', (128, 4))
    """
    names = [f"{name}.parquet" for name in _TABLES]
    need_run(folder, (CONFIG, MANIFEST, METRICS, *names))
    manifest = read_manifest(folder)
    metrics = read_figures(folder, METRICS, manifest)
    check_headline(metrics, folder / METRICS)
    signal, weights, articles = (read_table(folder, name, manifest) for name in names)
    settings_of(folder, manifest)
    config = load_config(folder / CONFIG, allow=allow)
    world = load_world(config, stages)
    hold_against(manifest.get("fingerprints", {}), world.fingerprints(), config, folder)
    return RecalledRun(
        name=folder.resolve().name,
        status=metrics.get("status") or "caution",
        config=config,
        signal=signal,
        weights=weights,
        articles=articles,
        prices=world.prices,
    )


def diagnose_run(run: RecalledRun, horizons: Sequence[int] = HORIZONS, *, confidence: float = CONFIDENT) -> Diagnosis:
    """Diagnose a run's signal.

    Parameters
    ----------
    run : RecalledRun
        From `recall`.
    horizons : sequence of int
        Bars ahead.
    confidence : float
        Articles from here on make events.

    Returns
    -------
    Diagnosis
        See `embargo.signals.diagnostics.diagnosis.diagnose` for what is asked, and for errors.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research import Quiet, load_config, prepare
    >>> from embargo.research.run.reading import read
    >>> from embargo.research.run.trading import trade
    >>> from embargo.research.studies.signal import RecalledRun, diagnose_run
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> with TemporaryDirectory() as cache:
    ...     made = trade(plan, read(plan, plan.parts, Path(cache), Quiet()).scored)
    >>> signal, weights = made.decision.signal, made.decision.weights
    >>> run = RecalledRun("small-1a2b3c4d", "valid", plan.config, signal, weights, made.placed, plan.world.prices)
    >>> found = diagnose_run(run, [1, 5])
    >>> found.ranking, len(found.horizons), found.horizons["ic"].round(3).tolist()
    ('through time', 2, [0.077, 0.03])
    """
    return diagnose(
        run.signal,
        run.weights,
        run.articles,
        run.prices,
        horizons=horizons,
        confidence=confidence,
        seed=run.config.seed,
    )


def hold_against(kept: dict[str, str], found: dict[str, str], config: Config, folder: Path) -> None:
    """Refuse news or prices that are not those of the run."""
    for what, loader, path in (
        ("news", config.news.loader, config.news.path),
        ("prices", config.prices.loader, config.prices.path),
    ):
        if kept.get(what) == found[what]:
            continue
        place = "the simulated market" if loader == "simulated" else str(path or f"{what}.loader = {loader}")
        remedy = (
            "Set as_of in a config, so that a store answers as it did then, and repeat the run."
            if loader == "store"
            else "This version simulates another market; repeat the run."
            if loader == "simulated"
            else "Put the file back as it was, or repeat the run."
            if loader == "archive"
            else "Let the loader return what it did, or repeat the run."
        )
        raise DataError(
            f"{place}: the {what} have changed since the run. {folder / 'manifest.json'} has the fingerprint "
            f"{str(kept.get(what))[:12]}, they have {found[what][:12]}. {remedy}"
        )
