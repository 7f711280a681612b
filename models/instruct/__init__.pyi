from .bundle import AnswerBundle, answer_models, open_answer_bundle, write_answer_bundle
from .corpus import CorpusParts, CorpusSplit, split_corpus
from .exchanges import Exchange, check_weights, exchanges, row_weights
from .facts import Fact, facts
from .merging import merge_answers
from .templates import Templates, Wording, load_templates
from .tiny_instruct import TinyInstructSettings, pretrain_tiny_instruct
from .training import tune_answers
from .writing import AnswerModel

__all__ = [
    "AnswerBundle",
    "AnswerModel",
    "CorpusParts",
    "CorpusSplit",
    "Exchange",
    "Fact",
    "Templates",
    "TinyInstructSettings",
    "Wording",
    "answer_models",
    "check_weights",
    "exchanges",
    "facts",
    "load_templates",
    "merge_answers",
    "open_answer_bundle",
    "pretrain_tiny_instruct",
    "row_weights",
    "split_corpus",
    "tune_answers",
    "write_answer_bundle",
]
