from .corpus import CorpusParts, CorpusSplit, split_corpus
from .exchanges import Exchange, check_weights, exchanges, row_weights
from .facts import Fact, facts
from .templates import Templates, Wording, load_templates
from .training import tune_answers
from .writing import AnswerModel

__all__ = [
    "AnswerModel",
    "CorpusParts",
    "CorpusSplit",
    "Exchange",
    "Fact",
    "Templates",
    "Wording",
    "check_weights",
    "exchanges",
    "facts",
    "load_templates",
    "row_weights",
    "split_corpus",
    "tune_answers",
]
