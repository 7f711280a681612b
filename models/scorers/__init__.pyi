from .cache import ScoreCache
from .lexicon import LexiconScorer
from .linear import LinearScorer, LinearSettings, fit_linear
from .onnx import OnnxScorer
from .prompted import PromptedScorer
from .score import Logits, ScoredArticles, cached_logits, model_id, score_articles, score_stream
from .transformer import TransformerScorer

__all__ = [
    "LexiconScorer",
    "LinearScorer",
    "LinearSettings",
    "Logits",
    "OnnxScorer",
    "PromptedScorer",
    "ScoreCache",
    "ScoredArticles",
    "TransformerScorer",
    "cached_logits",
    "fit_linear",
    "model_id",
    "score_articles",
    "score_stream",
]
