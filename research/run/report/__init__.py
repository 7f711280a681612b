"""The report of a run: one self-contained HTML page that opens offline, on paper and to a screen reader.

`ReportData` holds all that the page says and `render_page` turns it into HTML. The same data give the same bytes,
nothing is fetched from anywhere, and text that came from outside is never taken for markup.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
