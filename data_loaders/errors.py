"""The one hierarchy of errors that Embargo raises on purpose.

Every message says what is wrong, where it is (file, row, symbol, instant) and what to do about it.
"""

from __future__ import annotations


class EmbargoError(Exception):
    """Base of every error that Embargo raises on purpose."""


class DataError(EmbargoError):
    """News, prices or labels that cannot be trusted as they stand."""


class ConfigError(EmbargoError):
    """A setting that is unknown, out of range, or at odds with another setting or with the data."""


class LeakError(EmbargoError):
    """Something would have used information from the future."""


class MissingPartError(EmbargoError):
    """A file, package, model or device that the request needs is not there."""


class ServiceError(EmbargoError):
    """A service on the network that cannot be reached, refuses to answer, or answers nonsense."""
