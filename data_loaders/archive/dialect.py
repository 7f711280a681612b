"""How the tables of an archive are written, where a file does not say so itself: delimiter, encoding, header, numbers.

Nothing of it is guessed from the data: what is not said is the plain form, and a file that does not fit it is refused
with the name of the setting.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from embargo.data_loaders.errors import ConfigError

# Told apart by their first bytes, for the words of an error only; the longer ones begin like the shorter ones.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# How files begin that are no texts at all, whatever their name says.
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a workbook or a zip. Save a workbook's sheet as CSV; give a zip its own ending, .zip."),
    (b"\xd0\xcf\x11\xe0", "a workbook. Save its sheet as CSV."),
    (b"PAR1", "parquet. Give it its own ending, .parquet."),
    (b"\x1f\x8b", "a gzip. Give it its own ending, such as .csv.gz."),
    (b"\x28\xb5\x2f\xfd", "Zstandard. Give it its own ending, such as .csv.zst."),
)


@dataclass(frozen=True)
class Dialect:
    r"""How tables are written.

    Attributes
    ----------
    delimiter : str or None
        The sign between the cells of a CSV; None is a comma, and a tab in ``.tsv``.
    encoding : str or None
        Of CSV and JSON, as Python names it, such as ``"cp1252"`` or ``"utf-16"``; None is UTF-8.
    header : bool
        Whether the first line of a CSV names the columns. Without one they are called ``"1"``, ``"2"`` and so on.
    decimal : {".", ","} or None
        Decimal sign of numbers in a CSV; None is a point.
    thousands : {".", ",", " ", "'"} or None
        Sign between groups of three figures; None where numbers have none.

    Raises
    ------
    ConfigError
        If the delimiter is no single sign, the encoding is unknown, or numbers would have one sign for two things.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.data_loaders import Dialect, read_news
    >>> row = "02.01.2024 10:00;AAPL;Gewinn über Erwartung\n"
    >>> columns = {"published_at": "1", "symbol": "2", "text": "3"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/news.csv").write_text(row, encoding="cp1252")
    ...     loaded = read_news(
    ...         f"{folder}/news.csv",
    ...         columns=columns,
    ...         time_format="%d.%m.%Y %H:%M",
    ...         timezone="Europe/Berlin",
    ...         dialect=Dialect(delimiter=";", encoding="cp1252", header=False),
    ...     )
    >>> loaded.frame["text"].tolist()
    ['Gewinn über Erwartung']
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    decimal: str | None = None
    thousands: str | None = None

    def __post_init__(self) -> None:
        self._check_numbers()
        sign = self.delimiter
        if sign is not None and (len(sign) != 1 or not sign.isascii() or sign in '"\r\n\0'):
            raise ConfigError(
                f"delimiter = {sign!r} is no single sign between cells. Write one, such as ';' or '\\t' (a tab)."
            )
        if self.encoding is None:
            return
        try:
            known = codecs.lookup(self.encoding)
            b"xx".decode(self.encoding, "ignore")
        except (LookupError, ValueError, UnicodeError) as failure:
            raise ConfigError(
                f"encoding = {self.encoding!r} is unknown. Name one such as 'cp1252', 'latin-1', 'utf-16' or 'gb18030'."
            ) from failure
        if known.name in ("idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "utf-7"):
            raise ConfigError(f"encoding = {self.encoding!r} writes no files. Name another, such as 'cp1252'.")

    def _check_numbers(self) -> None:
        if self.decimal not in (None, ".", ","):
            raise ConfigError(f"decimal = {self.decimal!r} is no decimal sign. Write ',' or '.'.")
        if self.thousands not in (None, ".", ",", " ", "'"):
            raise ConfigError(
                f"thousands = {self.thousands!r} parts no thousands. Write one of '.', ',', ' ' and \"'\"."
            )
        if self.thousands == (self.decimal or "."):
            remedy = (
                "Leave one of them out." if self.decimal else "Set decimal = ',', if that is what its source means."
            )
            raise ConfigError(f"thousands = {self.thousands!r} is the decimal sign too. {remedy}")

    @property
    def told(self) -> tuple[tuple[str, object], ...]:
        """What differs from the plain form, for digests."""
        every = (
            ("delimiter", self.delimiter),
            ("encoding", self.encoding),
            ("header", self.header),
            ("decimal", self.decimal),
            ("thousands", self.thousands),
        )
        return tuple(one for one in every if one[1] is not None and one[1] is not True)

    @property
    def decoding(self) -> str:
        """Encoding to read texts with; the mark that may begin a UTF-8 file is passed over."""
        plain = self.encoding is None or codecs.lookup(self.encoding).name in ("utf-8", "ascii")
        return "utf-8-sig" if plain else str(self.encoding)

    def check_fits(self, where: str, format: str) -> None:  # noqa: A002 - the field's word for it
        """Refuse settings that this format has no use for.

        Raises
        ------
        ConfigError
            Naming the setting.
        """
        alone = [name for name, _ in self.told if name != "encoding"] if format not in ("csv", "tsv") else []
        if format == "parquet" and self.encoding is not None:
            alone.append("encoding")
        if alone:
            raise ConfigError(f"{where}: {' and '.join(alone)} is for CSV files, and this is {format}. Leave it out.")


PLAIN = Dialect()


def marked_encoding(first: bytes) -> str | None:
    """Name the encoding whose mark a file begins with; None where it begins with none but that of UTF-8."""
    return next((name for mark, name in _MARKS if first.startswith(mark)), None)


def encoding_hint(first: bytes, encoding: str | None) -> str:
    """Say what to do about bytes that are no text of the encoding they were read in, given how the file begins."""
    if (name := marked_encoding(first)) is not None:
        return f"It begins like {name.upper()}: set encoding = {name!r}."
    for mark, told in _OTHER_FORMATS:
        if first.startswith(mark):
            return f"It begins like {told}"
    if encoding is None:
        return "Name its encoding, such as encoding = 'cp1252' (Windows, western Europe) or 'utf-16'."
    return f"It is not all {encoding}: name another encoding, or mend the file."
