"""Experiments: configuration, the pipeline, the audit, reports and the command line."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
