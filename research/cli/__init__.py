"""The command line: experiments (``demo``, ``run`` ...), models (``tune``, ``score`` ...) and data (``fetch`` ...).

Exit status: 0 the command did its job, 1 an error (also where only a part of the work failed), 2 bad usage or
configuration, 3 the audit found a leak, 4 a check calls the data bad, 130 interrupted.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
