"""Signal research: a finished run's signal diagnosed, as tables for the terminal, one HTML page, or JSON.

The figures come from `embargo.signals.diagnostics`; here a run is read back, held against its fingerprints, and shown.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
