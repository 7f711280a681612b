from .data_verdict import DataVerdict, judge_data
from .pipeline import Outcome, execute
from .plan import Plan
from .preparation import prepare
from .samples import Part, Samples
from .verdict import Verdict
from .world import World, load_world

__all__ = [
    "DataVerdict",
    "Outcome",
    "Part",
    "Plan",
    "Samples",
    "Verdict",
    "World",
    "execute",
    "judge_data",
    "load_world",
    "prepare",
]
