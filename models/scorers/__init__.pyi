from .cache import ScoreCache
from .distilled import DistilledSettings
from .given import GivenScorer, GivenSettings
from .kind import Fit, FitRequest, ScorerKind
from .lexicon import LexiconScorer
from .linear import LinearScorer, LinearSettings, fit_linear
from .majority import MajorityScorer
from .onnx import OnnxScorer
from .prompted import PromptedScorer
from .score import Logits, ScoredArticles, cached_logits, model_id, score_articles, score_stream
from .transformer import TransformerScorer

__all__ = [
    "DistilledSettings",
    "Fit",
    "FitRequest",
    "GivenScorer",
    "GivenSettings",
    "LexiconScorer",
    "LinearScorer",
    "LinearSettings",
    "Logits",
    "MajorityScorer",
    "OnnxScorer",
    "PromptedScorer",
    "ScoreCache",
    "ScoredArticles",
    "ScorerKind",
    "TransformerScorer",
    "cached_logits",
    "fit_linear",
    "model_id",
    "score_articles",
    "score_stream",
]
