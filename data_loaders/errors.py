"""The one hierarchy of errors that Embargo raises on purpose.

Every message says what is wrong, where it is (file, row, symbol, instant) and what to do about it.
"""

from __future__ import annotations


class EmbargoError(Exception):
    """Base of every error that Embargo raises on purpose.

    Examples
    --------
    >>> from embargo.data_loaders import EmbargoError, length_of
    >>> try:
    ...     length_of("soon")
    ... except EmbargoError as error:
    ...     print(error)
    'soon' is no length of time. Write it as 1d, 1h or 5min.
    """


class DataError(EmbargoError):
    """News, prices or labels that cannot be trusted as they stand.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import DataError, label_sessions
    >>> try:
    ...     label_sessions(pd.to_datetime(["2014-07-04"]), "XNYS", where="bars")
    ... except DataError as error:
    ...     print(str(error).partition(". ")[0])
    bars: 1 day is no session of XNYS, first 2014-07-04 (Friday)
    """


class ConfigError(EmbargoError):
    """A setting that is unknown, out of range, or at odds with another setting or with the data.

    Examples
    --------
    >>> from embargo.data_loaders import ConfigError, SimulatedMarket
    >>> try:
    ...     SimulatedMarket(n_symbols=1)
    ... except ConfigError as error:
    ...     print(error)
    simulated market: n_symbols = 1 is out of range. See SimulatedMarket for it.
    """


class LeakError(EmbargoError):
    """Something would have used information from the future.

    Examples
    --------
    >>> from embargo.data_loaders import EmbargoError, LeakError
    >>> issubclass(LeakError, EmbargoError)
    True
    """


class MissingPartError(EmbargoError):
    """A file, package, model or device that the request needs is not there.

    Examples
    --------
    >>> from embargo.data_loaders import MissingPartError, read_news
    >>> try:
    ...     read_news("nowhere.csv")
    ... except MissingPartError as error:
    ...     print(error)
    no file or folder nowhere.csv. Check the path; relative ones start at the working folder.
    """


class ServiceError(EmbargoError):
    """A service on the network that cannot be reached, refuses to answer, or answers nonsense.

    Examples
    --------
    >>> from embargo.data_loaders.retries import Patience, Retryable, call
    >>> def silent(seconds):
    ...     raise Retryable("HTTP 503")
    >>> call(silent, what="Prices of AAPL", patience=Patience(attempts=1))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ServiceError: Prices of AAPL: no usable answer, asked once in ...
    """


def such(number: float, what: str) -> str:
    """Write how many of a thing there are: ``1 such row``, ``1,200 such rows``."""
    return f"{int(number):,} such {what if int(number) == 1 else what + 's'}"
