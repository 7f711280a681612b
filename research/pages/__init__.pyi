from .charts import Chart, keep_extremes, label_of, milliseconds, placed
from .page import fill, write_page
from .phrases import PHRASES, Phrase, phrase
from .status import STATUSES, Status
from .tables import ReportTable, TableCell, rows_of, terminal_table

__all__ = [
    "PHRASES",
    "STATUSES",
    "Chart",
    "Phrase",
    "ReportTable",
    "Status",
    "TableCell",
    "fill",
    "keep_extremes",
    "label_of",
    "milliseconds",
    "phrase",
    "placed",
    "rows_of",
    "terminal_table",
    "write_page",
]
