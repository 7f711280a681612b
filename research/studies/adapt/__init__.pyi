from .adaptation import Adaptation, as_document
from .costs import BreakEven, Effort, ReaderCosts, break_evens
from .markdown import markdown
from .page import render_page
from .recommend import Advice, cost_words, money, recommend
from .rows import Apart, Pair, Row
from .study import adapt
from .tables import print_adaptation

__all__ = [
    "Adaptation",
    "Advice",
    "Apart",
    "BreakEven",
    "Effort",
    "Pair",
    "ReaderCosts",
    "Row",
    "adapt",
    "as_document",
    "break_evens",
    "cost_words",
    "markdown",
    "money",
    "print_adaptation",
    "recommend",
    "render_page",
]
