"""A Ctrl-C that is not lost.

Python throws away an exception that is raised in the finaliser of an object, in a callback of the collector or in some
callbacks of extensions: a Ctrl-C that meets one is printed as ignored, and the job goes on for its hours. An extension
that is being loaded makes an error of its own of it. So it is remembered, and raised again where the job next tells how
far it is, or fails.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_heard = False


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Remember a Ctrl-C for the length of a block, besides raising it as Python does.

    A process that was told to take no notice of Ctrl-C (``nohup``, a job in the background), and one that does
    something of its own on it, are left as they are; so is every thread but the main one, to which signals come.
    """
    global _heard
    unasked = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if unasked or threading.current_thread() is not threading.main_thread():
        yield
        return
    _heard = False
    signal.signal(signal.SIGINT, _hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _heard = False


def raise_if_lost() -> None:
    """Raise the Ctrl-C that has been pressed, should the job be going on in spite of it.

    Raises
    ------
    KeyboardInterrupt
        Within `heeding_interrupts`, once Ctrl-C was pressed.
    """
    if _heard:
        raise KeyboardInterrupt


def _hear(number: int, frame: FrameType | None) -> None:
    global _heard
    _heard = True
    raise KeyboardInterrupt
