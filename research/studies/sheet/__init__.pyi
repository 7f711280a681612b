from .page import render_sheet, write_sheet

__all__ = [
    "render_sheet",
    "write_sheet",
]
