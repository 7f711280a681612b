"""Open what can score: a model folder, an exported model, or one fold of a run."""

from __future__ import annotations

from pathlib import Path

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.models.bundles.bundle import ModelReader, bundle_reader, fitted_reader, onnx_reader, open_bundle
from embargo.models.bundles.tuned_folder import BUNDLE, INSTRUCT, kind_of
from embargo.models.scorers.onnx import ONNX
from embargo.research.records.finished import settings_of
from embargo.research.records.sealed import read_manifest


def open_model(path: Path, *, fold: int | None, cache: Path, base: Path | None = None) -> ModelReader:
    """Open a model folder, an exported model, or one fold of a run.

    Parameters
    ----------
    path : Path
    fold : int, optional
        Of a run, counted from 1; by default the last.
    cache : Path
        Where the adapters of runs and built-in bases are kept.
    base : Path, optional
        Where the base lies, if not where its name says.

    Raises
    ------
    MissingPartError
        If there is no such folder, or the base or the adapter is not on this machine.
    ConfigError
        If a fold is asked of what has none, or of a run that has not as many; or the base has other weights.
    DataError
        If the folder holds no model, or a file of it is damaged.
    """
    path = path.resolve() if path.name == "" else path
    if not path.is_dir():
        raise MissingPartError(f"{path}: no such folder. 'embargo models --folder {path.parent}' lists what is there.")
    is_run = (path / "metrics.json").is_file() and (path / "config.toml").is_file()
    if is_run:
        return _of_run(path, fold, cache, base)
    if fold is not None:
        raise ConfigError(f"{path}: --fold is for the folder of a run; this is none.")
    kind = kind_of(path)
    if kind == ONNX:
        if base is not None:
            raise ConfigError(f"{path}: --base is not needed by an exported model. Leave it out.")
        return onnx_reader(path)
    if kind == "merged":
        raise DataError(f"{path}: a merged model is for transformers; give the model folder that it was made from.")
    if kind == INSTRUCT:
        raise DataError(
            f"{path}: was tuned to answer, not to classify. 'embargo export {path} --merge' makes a base of it, which "
            "a reader of kind 'prompted' can name."
        )
    if kind != BUNDLE:
        raise DataError(f"{path}: holds no model. Give a folder that 'embargo tune', 'run' or 'export' wrote.")
    return bundle_reader(open_bundle(path), cache_dir=cache, given=base)


def _of_run(path: Path, fold: int | None, cache: Path, base: Path | None) -> ModelReader:
    manifest = read_manifest(path)
    entries, settings = manifest.get("models"), settings_of(path, manifest)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "kind" in entry for entry in entries):
        raise DataError(f"{path / 'manifest.json'}: lists no models. Repeat the run.")
    model = settings.get("model")
    model = model if isinstance(model, dict) else {}
    chosen = len(entries) if fold is None else fold
    if not 1 <= chosen <= len(entries):
        raise ConfigError(f"{path}: --fold {chosen} is not there; the run has folds 1 to {len(entries)}.")
    return fitted_reader(
        f"{path.name} fold {chosen}",
        entries[chosen - 1],
        revision=model.get("revision"),
        cache_dir=cache,
        given=base,
        runtime=model.get("scorer", "torch"),
    )
