"""Text from outside made plain before a reader meets it: signs that command a terminal, a page or a spreadsheet.

An article may hold anything. What would move the cursor, change colours, turn the order of letters round or be
computed as a formula is shown as a visible sign instead; nothing is left out.
"""

from __future__ import annotations

import io
import re
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_PICTURES = 0x2400
_UNKNOWN = "\ufffd"
# Embeddings, overrides and isolates: text between two of them is shown in another order than it was written.
_TURNING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SIGNS = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: "\u2421",
    **dict.fromkeys((*range(0x80, 0xA0), 0x2028, 0x2029, *_TURNING), _UNKNOWN),
}
_ANY = re.compile(f"[{re.escape(''.join(map(chr, _SIGNS)))}]")
_FORMULA = tuple("=+-@\t\r＝＋－＠")


def plain(text: str) -> str:
    r"""Return a text with a visible sign in place of each one that a terminal or a page obeys.

    Control characters become their pictures and what turns the direction of writing becomes U+FFFD. Tabs and line ends
    stay, a carriage return before a line end goes.

    Examples
    --------
    >>> from embargo.research.plain import plain
    >>> plain("up\x1b[31m 3 %")
    'up␛[31m 3 %'
    """
    if not _ANY.search(text):
        return text
    return text.replace("\r\n", "\n").translate(_SIGNS)


def for_spreadsheet(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows in which no text is a formula: one that a spreadsheet would compute begins with an apostrophe.

    Those are texts that begin with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return. Numbers stay numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.research.plain import for_spreadsheet
    >>> for_spreadsheet(pd.DataFrame({"text": ["=1+1", "fine"], "change": [-1.5, 2.0]})).values.tolist()
    [["'=1+1", -1.5], ['fine', 2.0]]
    """
    from pandas.api.types import is_object_dtype, is_string_dtype

    def cell(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    mended = rows.set_axis(range(rows.shape[1]), axis=1)
    for place in mended:
        if is_object_dtype(mended[place]) or is_string_dtype(mended[place]) or mended[place].dtype == "category":
            mended[place] = mended[place].astype(object).map(cell)
    return mended.set_axis([cell(name) for name in rows.columns], axis=1)


class PlainStream(io.TextIOBase):
    """A stream that passes on plain text only: for whatever is written past the consoles, such as warnings.

    Consoles of rich write to the stream behind it, with the colours and movements that are their own.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    @property
    def rich_proxied_file(self) -> IO[str]:
        """Where rich writes."""
        return self._stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, plain."""
        self._stream.write(plain(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """Return the number of the stream's file."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self._stream.isatty()
