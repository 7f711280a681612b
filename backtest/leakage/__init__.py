"""Checks that find look-ahead in news, splits, models and execution; each returns a finding, none repairs.

They are functions of plain frames, arrays and callables and know nothing of pipelines, configs, files or models.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
