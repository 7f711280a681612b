"""What the libraries of models say of their own types is wrong or missing in places; here alone that is set aside."""

from __future__ import annotations

from typing import Any


def untyped(thing: object) -> Any:
    """Return something of transformers, peft, bitsandbytes or torch whose declared types cannot be checked against.

    They leave functions untyped, make constructors from decorators that hide the parameters, and export names that
    they do not declare. What comes of it is Any until the caller says what it is.
    """
    return thing
