from .charts import TEMPLATE, Chart, keep_extremes, label_of, milliseconds, placed
from .page import fill, write_page
from .status import STATUSES, Status
from .tables import ReportTable, TableCell, rows_of, terminal_table

__all__ = [
    "STATUSES",
    "TEMPLATE",
    "Chart",
    "ReportTable",
    "Status",
    "TableCell",
    "fill",
    "keep_extremes",
    "label_of",
    "milliseconds",
    "placed",
    "rows_of",
    "terminal_table",
    "write_page",
]
