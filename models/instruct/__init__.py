"""Decoders tuned to answer: tasks made of dated articles, the loss on their answers alone, and what is written then.

``templates`` word the tasks, ``facts`` finds what a text states, ``corpus`` cuts time, ``exchanges`` makes prompts and
answers, ``training`` tunes adapters on them, and ``writing`` answers, the same text for the same prompt whatever else
is asked.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
