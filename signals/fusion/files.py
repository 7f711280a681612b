"""A fitted fusion on disk: a JSON manifest and a file of arrays, read back to the last bit."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.signals.fusion.head import HeadSettings
from embargo.signals.fusion.model import FusionModel
from embargo.signals.fusion.settings import FusionSettings

MANIFEST = "fusion.json"
ARRAYS = "fusion.safetensors"


def save_fusion(model: FusionModel, folder: Path) -> None:
    """Write ``fusion.json`` and ``fusion.safetensors`` into an existing folder.

    Parameters
    ----------
    model : FusionModel
    folder : Path

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import pandas as pd
    >>> from embargo.data_loaders.schemas import Prices
    >>> from embargo.signals.fusion import fit_fusion, fusion_inputs, fusion_samples, market_features
    >>> from embargo.signals.fusion import load_fusion, save_fusion
    >>> rng = np.random.default_rng(1)
    >>> days = pd.date_range('2024-01-01', periods=300, tz='UTC')
    >>> close = pd.DataFrame(100.0 * np.exp(rng.normal(0.0, 0.01, (300, 3)).cumsum(axis=0)), days, list('ABC'))
    >>> day = pd.Timedelta('1D')
    >>> prices = Prices(close, 1.01 * close, 0.99 * close, close, 0.0 * close + 1e6, days, days + day, '24/7')
    >>> market = market_features(prices, np.arange(300) - 1, names=['return_1', 'return_5'])
    >>> inputs = fusion_inputs({}, market.panels, days - pd.Timedelta('5min'))
    >>> samples = fusion_samples(inputs, prices).frame
    >>> model = fit_fusion(samples[samples['row'] < 180], samples[samples['row'].between(190, 240)])
    >>> with TemporaryDirectory() as folder:
    ...     save_fusion(model, Path(folder))
    ...     load_fusion(Path(folder)).state_hash == model.state_hash
    True
    """
    from safetensors.numpy import save_file

    save_file(model.arrays, folder / ARRAYS)
    (folder / MANIFEST).write_text(json.dumps(model.manifest(), indent=2) + "\n", encoding="utf-8")


def load_fusion(folder: Path) -> FusionModel:
    """Read what `save_fusion` wrote: the same model to the last bit.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    FusionModel

    Raises
    ------
    MissingPartError
        If a file is not there.
    DataError
        If a file cannot be read, or is not as it was written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.signals.fusion import load_fusion
    >>> load_fusion(Path('nowhere'))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.MissingPartError: fusion: nowhere/fusion.json is not there. ...
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    for name in (MANIFEST, ARRAYS):
        if not (folder / name).is_file():
            raise MissingPartError(f"fusion: {folder / name} is not there. Save the model again with save_fusion.")
    try:
        written = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        chosen = {**written["settings"], "head": HeadSettings(**written["settings"]["head"])}
        model = FusionModel(
            settings=FusionSettings(**{each.name: chosen.pop(each.name) for each in fields(FusionSettings)}),
            features=tuple(written["features"]),
            thresholds=(float(written["thresholds"][0]), float(written["thresholds"][1])),
            arrays=load_file(folder / ARRAYS),
            scale=float(written["calibration"]["scale"]),
            biases=tuple(float(bias) for bias in written["calibration"]["biases"]),
            trained_until=pd.Timestamp(written["trained_until"]),
            record=written["record"],
        )
    except (KeyError, IndexError, TypeError, ValueError, SafetensorError, ConfigError) as failure:
        raise DataError(f"fusion: {folder} cannot be read ({failure!r}). Save the model again.") from failure
    if model.manifest() != written:
        raise DataError(f"fusion: {folder} is not as it was written: its hashes differ. Fit the model again.")
    return model
