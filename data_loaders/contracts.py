"""The contracts of news and scores as pandera schemas: they mend types and name the first row that breaks a promise.

Loaded only for frames that are not plainly sound, because pandera takes longer to load than most news to check.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from embargo.data_loaders.errors import DataError, such
from embargo.data_loaders.fields import CLASSES, UTC_DTYPE


def _text(*checks: pa.Check, unique: bool = False) -> pa.Column:
    return pa.Column(str, list(checks), nullable=False, coerce=True, unique=unique)


NEWS_SCHEMA = pa.DataFrameSchema(
    {
        "article_id": _text(pa.Check.str_length(min_value=1)),
        "published_at": pa.Column(UTC_DTYPE, nullable=False),
        "seen_at": pa.Column(UTC_DTYPE, nullable=False),
        "symbol": _text(pa.Check.str_length(min_value=1)),
        "text": _text(pa.Check(lambda text: text.str.strip().str.len() > 0, name="not_blank")),
        "source": _text(),
    },
    strict=False,
)

SCORES_SCHEMA = pa.DataFrameSchema(
    {
        "article_id": _text(unique=True),
        **{name: pa.Column(float, pa.Check.in_range(0.0, 1.0)) for name in CLASSES},
        "confidence": pa.Column(float, pa.Check.in_range(0.0, 1.0)),
        "model_id": _text(),
    },
    strict=False,
)


def kept(schema: pa.DataFrameSchema, frame: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Return the frame with types as in its contract; DataError with the first row that breaks it."""
    try:
        return schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as failure:
        case = failure.failure_cases.iloc[0]
        row = "" if pd.isna(case["index"]) else f", row {case['index']}"
        raise DataError(
            f"{where}: column {case['column'] or case['failure_case']!r}{row}: value {case['failure_case']!r} fails "
            f"'{case['check']}' ({such(len(failure.failure_cases), 'failure')}). Mend or filter these rows."
        ) from failure
