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
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from embargo.data_loaders.amendments import closed_day, extra_session
from embargo.data_loaders.calendars import length_of
from embargo.data_loaders.errors import ConfigError
from embargo.models.bases.resolve import BUILT_IN
from embargo.models.endpoints.secrets import holds_key

_CENTURY = pd.Timedelta(days=36_525)
# Instants are counted in 64 bits, and calendars and spans reach beyond the dates of an experiment.
_YEARS = (1800, 2200)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
# Names that variables with keys in them have; a path goes into errors, logs and addresses.
_KEYS = re.compile(
    r"(?i)key|secret|token|passw|passphrase|credential|private|bearer|signature|(^|_)(pass|pwd|auth|pat|sas|jwt|dsn|cookie)(_|$)"
)


def _instant(value: Any) -> pd.Timestamp:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not _YEARS[0] <= value.year <= _YEARS[1]:
        raise ValueError(f"the year {value.year} is none from {_YEARS[0]} to {_YEARS[1]}")
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
        value = date.fromisoformat(value)
    return _instant(value)


def _duration(value: str) -> str:
    if re.search(r"\d\s*MS", value):
        # Among the spans of a split these are months; pandas takes them for thousandths of a second.
        raise ValueError(f"{value!r} is no fixed length of time; write days, such as '30D'")
    try:
        length = pd.Timedelta(value)
    except ValueError as failure:
        raise ValueError(f"{value!r} is no duration; write '5min', '12h' or '2D'") from failure
    if pd.isna(length) or value.strip().replace(".", "", 1).isdigit():
        raise ValueError(f"{value!r} names no unit of time; write '5min', '12h' or '2D'")
    if length < pd.Timedelta(0):
        raise ValueError(f"{value!r} is negative")
    if length > _CENTURY:
        raise ValueError(f"{value!r} is longer than a century")
    return value


def _bar(value: str) -> str:
    try:
        length_of(value)
    except ConfigError as failure:
        raise ValueError(str(failure)) from failure
    return value.replace("D", "d")


def _name(value: str) -> str:
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,60}", value) is None:
        raise ValueError(
            "write small letters, digits, '-' and '_' only, at most 61, a letter or a digit first: it names a folder"
        )
    return value


def _span(value: Any) -> str | int:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST * 1_000:
        raise ValueError("write a length of time such as '6MS' or '90D', or a number of articles from 1 on")
    return value


def _closed_day(value: Any) -> str:
    text = value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value
    if not isinstance(text, str):
        raise ValueError(f"{value!r} is no day; write the days an exchange was shut as '2023-09-01'")
    try:
        return str(closed_day(text))
    except ConfigError as failure:
        raise ValueError(str(failure)) from failure


def _session_hours(value: str) -> str:
    try:
        return str(extra_session(value))
    except ConfigError as failure:
        raise ValueError(str(failure)) from failure


def _base(value: Any) -> str | dict[str, str]:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError("write the name of a base, or a table of days and names, such as { 2013-12-31 = 'a/folder' }")
    for day, name in value.items():
        try:
            dated = (
                re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(day)) and _YEARS[0] <= date.fromisoformat(day).year <= _YEARS[1]
            )
        except ValueError:
            dated = False
        if not dated:
            raise ValueError(f"{day!r} is no day; write the last that the vintage could know, such as 2013-12-31")
        if not isinstance(name, str) or not name or name in BUILT_IN:
            raise ValueError(f"{day} = {name!r} names no vintage; write a folder or a name on the hub")
    names = list(value.values())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]!r} stands under more than one day; a base ends on one")
    return dict(sorted(value.items()))


def check_made_here(base: str | dict[str, str], **given: object) -> None:
    """Raise ValueError where a built-in base is told what only one from elsewhere has, such as a cutoff."""
    for name, value in given.items():
        if base in BUILT_IN and value is not None:
            raise ValueError(
                f"model.{name} belongs to a base that comes from elsewhere, and the built-in {base!r} is made here, of "
                "early news, whose last instant is its cutoff; leave it out, or set model.base"
            )


BaseName = Annotated[str | dict[str, str], BeforeValidator(_base)]
ClosedDay = Annotated[str, BeforeValidator(_closed_day)]
SessionHours = Annotated[str, AfterValidator(_session_hours)]
Instant = Annotated[pd.Timestamp, BeforeValidator(parse_instant)]
Duration = Annotated[str, AfterValidator(_duration)]
BarLength = Annotated[str, AfterValidator(_bar)]
SplitSpan = Annotated[str | int, BeforeValidator(_span)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
# What counts rows, bars or rounds: more than there ever are would only overflow somewhere, or never end.
MOST = 1_000_000
Count = Annotated[int, Field(ge=1, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=1 << 31)]
Name = Annotated[str, AfterValidator(_name)]


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    # What was given is shown by `checked` alone, which knows what may be secret.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python counts true as 1, and a setting would be taken for what nobody wrote.
        if isinstance(value, bool) and not _takes(cls.model_fields[str(info.field_name)].annotation, bool):
            raise ValueError("expected no true or false here")
        return value


Settings = TypeVar("Settings", bound=Section)


def read_toml(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a settings file; ConfigError where it is missing (with the remedy) or not TOML."""
    if not path.is_file():
        raise ConfigError(f"{path}: {'a folder, no' if path.is_dir() else 'no such'} config file. {remedy}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as failure:
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
        number = failure.error_count()
        wrong = "1 setting is wrong" if number == 1 else f"{number} settings are wrong"
        raise ConfigError(f"{where}: {wrong}:\n{lines}") from failure


def _takes(annotation: Any, kind: type) -> bool:
    """Tell whether an annotation such as ``bool | None`` admits a kind of value, or any."""
    return annotation is kind or annotation is Any or any(_takes(part, kind) for part in get_args(annotation))


def _section_in(annotation: Any) -> Any:
    """Find the section in an annotation such as ``Section | None``."""
    return next(
        (kind for kind in get_args(annotation) if isinstance(kind, type) and issubclass(kind, Section)), annotation
    )


# Errors of this type tell nothing of what was given, which may be secret.
UNSEEN = "unseen"
# What pydantic says in the words of Python.
_IN_TOML = {
    "model_type": "this is a section: write a table of keys and values",
    "dict_type": "write a table of keys and values, such as { a = 'b' }",
    "tuple_type": "write a list, such as ['a', 'b']",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "string_type": "write a text, in quotes",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_parsing_size": "write a whole number, and none of so many digits",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
}


def _explain(model: type[Section], error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "config"
    if error["type"] == "extra_forbidden":
        owner: Any = model
        for part in error["loc"][:-1]:
            owner = _section_in(owner.model_fields[str(part)].annotation)
        return f"{key}: unknown key; allowed here: {', '.join(sorted(owner.model_fields))}"
    if error["type"] == "missing":
        return f"{key}: missing; it has no default"
    message = str(_IN_TOML.get(error["type"], error["msg"].removeprefix("Value error, ")))
    if not error["loc"]:
        return message
    told = f"{key}: {message[0].lower() + message[1:]}"
    given = str(error["input"])
    # A key that was put into a file by mistake is not printed as well.
    return told if error["type"] == UNSEEN or holds_key(given) else f"{told} (got {given[:80]!r})"


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
