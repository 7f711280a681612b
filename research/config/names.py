"""What companies are called: a file of symbols and names, for those who have to take names out of texts."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.simulated.grammar import company_names
from embargo.research.config.settings import read_toml

if TYPE_CHECKING:
    from embargo.research.config.experiment import Config


def names_of(config: Config) -> Mapping[str, Sequence[str]] | None:
    """Return what companies are called: by ``leakage.names``, or by a simulated market; None where nobody says."""
    if config.leakage.names is not None:
        return read_names(Path(config.leakage.names))
    if config.news.loader == "simulated":
        return company_names(config.news.simulated.symbols)
    return None


def read_names(path: Path) -> dict[str, list[str]]:
    r"""Read names of symbols.

    Parameters
    ----------
    path : Path
        CSV with columns ``symbol`` and ``name``, one row per name; or TOML with a name, or a list of names, per symbol.

    Returns
    -------
    dict of str to list of str

    Raises
    ------
    MissingPartError
        If the file is not there.
    DataError
        If it cannot be read, names nobody, or has a blank symbol or name.
    ConfigError
        If it is neither CSV nor TOML.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.research.config.names import read_names
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "names.toml"
    ...     written = path.write_text('AAPL = "Apple Inc."\n"BTC/USDT" = ["Bitcoin"]')
    ...     read_names(path)
    {'AAPL': ['Apple Inc.'], 'BTC/USDT': ['Bitcoin']}
    """
    if path.suffix == ".toml":
        document = read_toml(path, remedy="leakage.names names it.")
        rows = [
            (symbol, name)
            for symbol, names in document.items()
            for name in (names if isinstance(names, list) else [names])
        ]
    elif path.suffix == ".csv":
        rows = _read_csv(path)
    else:
        raise ConfigError(f"leakage.names: {path} must be a .csv or .toml file.")
    names: dict[str, list[str]] = {}
    for symbol, name in rows:
        if not isinstance(name, str) or not name.strip() or not symbol.strip():
            raise DataError(f"{path}: symbol {symbol!r} has the name {name!r}. Give each a name that is a text.")
        names.setdefault(symbol.strip(), []).append(name.strip())
    if not names:
        raise DataError(f"{path}: it names nobody. Write a row for each symbol and name.")
    return names


def _read_csv(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise MissingPartError(f"{path}: there is no such file. leakage.names names it.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        read = csv.DictReader(file)
        if not {"symbol", "name"} <= set(read.fieldnames or ()):
            raise DataError(f"{path}: it has the columns {read.fieldnames}; symbol and name are needed.")
        return [(row["symbol"] or "", row["name"] or "") for row in read]
