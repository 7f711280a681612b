"""How settings files are read: TOML, checked down to the last key before any work begins.

Unknown keys are errors that name the key and the keys allowed there. Paths are relative to the file they stand in
and may use ``${VARIABLE}`` or ``${VARIABLE:-fallback}``; a variable of the environment is filled in only where whoever
reads the file has named it, for the file may be borrowed. All instants are UTC.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import pandas as pd
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
# Names that variables with keys in them have; a path goes into errors, logs and addresses.
_KEYS = re.compile(
    r"(?i)key|secret|token|passw|passphrase|credential|private|bearer|signature|(^|_)(pass|pwd|auth|pat|sas|jwt|dsn|cookie)(_|$)"
)


def _instant(value: Any) -> pd.Timestamp:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("give the time zone too, such as 2015-01-01T09:30:00Z, or the date alone (00:00 UTC)")
        return pd.Timestamp(value).tz_convert("UTC").as_unit("us")
    if isinstance(value, date):
        return pd.Timestamp(datetime(value.year, value.month, value.day, tzinfo=UTC)).as_unit("us")
    raise ValueError(f"expected a date or an instant with a time zone, got {value!r}")


def parse_instant(value: Any) -> pd.Timestamp:
    """Read a date (00:00 UTC), or an instant that states its zone; ValueError says what is missing."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return _instant(date.fromisoformat(value))
    return _instant(value)


def _duration(value: str) -> str:
    try:
        length = pd.Timedelta(value)
    except ValueError as failure:
        raise ValueError(f"{value!r} is no duration; write '5min', '12h' or '2D'") from failure
    if length < pd.Timedelta(0):
        raise ValueError(f"{value!r} is negative")
    return value


def _bar(value: str) -> str:
    try:
        length_of(value)
    except ConfigError as failure:
        raise ValueError(str(failure)) from failure
    return value.replace("D", "d")


def _span(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or (isinstance(value, int) and value < 1):
        raise ValueError("write a length of time such as '6MS' or '90D', or a number of articles from 1 on")
    return value


Instant = Annotated[pd.Timestamp, BeforeValidator(parse_instant)]
Duration = Annotated[str, AfterValidator(_duration)]
BarLength = Annotated[str, AfterValidator(_bar)]
SplitSpan = Annotated[str | int, BeforeValidator(_span)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


Settings = TypeVar("Settings", bound=Section)


def read_toml(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a settings file; ConfigError where it is missing (with the remedy) or not TOML."""
    if not path.is_file():
        raise ConfigError(f"{path}: {'a folder, no' if path.is_dir() else 'no such'} config file. {remedy}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path}: not a TOML file: {failure}. {remedy}") from failure


def checked(model: type[Settings], document: dict[str, Any], *, where: str) -> Settings:
    """Check a nested mapping of settings.

    Raises
    ------
    ConfigError
        Naming every key that is unknown, missing or out of range.
    """
    try:
        return model.model_validate(document)
    except ValidationError as failure:
        lines = "\n".join(f"  {_explain(model, error)}" for error in failure.errors())
        raise ConfigError(f"{where}: {failure.error_count()} settings are wrong:\n{lines}") from failure


def _section_in(annotation: Any) -> Any:
    """Find the section in an annotation such as ``Section | None``."""
    return next(
        (kind for kind in get_args(annotation) if isinstance(kind, type) and issubclass(kind, Section)), annotation
    )


def _explain(model: type[Section], error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "config"
    if error["type"] == "extra_forbidden":
        owner: Any = model
        for part in error["loc"][:-1]:
            owner = _section_in(owner.model_fields[str(part)].annotation)
        return f"{key}: unknown key; allowed here: {', '.join(sorted(owner.model_fields))}"
    if error["type"] == "missing":
        return f"{key}: missing; it has no default"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower() + message[1:]} (got {str(error['input'])[:80]!r})" if error["loc"] else message


def place_of(value: str, file: Path, key: str, env: Collection[str] = ()) -> str:
    """Make a path in a settings file absolute: variables filled in, relative ones from the file's folder.

    An address such as ``s3://bucket/store`` stays as it is. Only the variables named in ``env`` are filled in.

    Raises
    ------
    ConfigError
        If a variable is set but not named, or neither set nor given a fallback, or looks as if it held a key; or if the
        path can be none. No value is shown.
    """

    def substitute(match: re.Match[str]) -> str:
        name, fallback = match.groups()
        told = f"{file}: {key} uses ${{{name}}}"
        if _KEYS.search(name):
            raise ConfigError(f"{told}, which by its name holds a key: none is put into a path. Write the path out.")
        found = os.environ.get(name)
        if name in env:
            found = found or fallback
        elif found:
            raise ConfigError(
                f"{told}, which is not filled in unasked: the file may be somebody else's. Add --env {name} "
                f'(in Python: env=["{name}"]) if you want it, or write the path out.'
            )
        else:
            found = fallback
        if found is None:
            raise ConfigError(f"{told}, which is not set. Export {name} and add --env {name}, or write the path out.")
        return found

    place = _VARIABLE.sub(substitute, value)
    if "://" in place:
        return place
    try:
        return str((file.parent / Path(place).expanduser()).resolve())
    except (RuntimeError, ValueError, OSError) as failure:
        raise ConfigError(f"{file}: {key}: is no path: {failure}. Write the path out.") from failure
