"""Models of language as readers of news: bases, tuning, scoring, calibration, and proofs of what they are worth.

Whatever its kind, a model is a `Scorer`, a `Calibration` and the latest instant that anything in it could know. Rooms,
from what is found to what is given away: ``bases`` (what can be tuned), ``methods`` (how), ``loading`` (weights in
memory), ``tuning`` (adapters), ``scorers`` (texts to logits), ``evaluation`` (how good), ``export`` and ``bundles``
(what others can use).
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
