from .bases.registry import KnownBase, known_bases
from .bases.resolve import Base, open_base, resolve_base
from .bundles.bundle import Bundle, ModelReader, bundle_reader, list_bundles, onnx_reader, open_bundle, write_bundle
from .calibration.fitting import Calibration, fit_calibration
from .calibration.measures import (
    BrierDecomposition,
    adaptive_calibration_error,
    brier_decomposition,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    reliability_table,
    wilson_interval,
)
from .calibration.significance import CalibrationTest, calibration_test, confidence_test
from .endpoints.settings import EndpointSettings
from .evaluation.bias import Bias, measure_bias
from .evaluation.classification import classification_report
from .evaluation.comparison import compare_classifiers
from .evaluation.forgetting import Forgetting, measure_forgetting
from .evaluation.robustness import Robustness, probe
from .export.merged import Merged, merge
from .export.onnx import OnnxExport, export_onnx
from .fitting import FittedModel, fit_scorer
from .instruct.tiny_instruct import TinyInstructSettings, pretrain_tiny_instruct
from .methods.defaults import default_settings, explain_settings
from .methods.settings import TuneSettings
from .prompting.settings import PromptSettings
from .scorer import Scorer
from .scorers.cache import ScoreCache
from .scorers.lexicon import LexiconScorer
from .scorers.linear import LinearScorer, LinearSettings, fit_linear
from .scorers.onnx import OnnxScorer
from .scorers.prompted import PromptedScorer
from .scorers.score import ScoredArticles, score_articles, score_stream
from .scorers.transformer import TransformerScorer
from .tuning.adapters import Adapter, open_adapter, tune
from .tuning.tiny import TinySettings, pretrain_tiny
from .tuning.tiny_lm import TinyLmSettings, pretrain_tiny_lm

__all__ = [
    "Adapter",
    "Base",
    "Bias",
    "BrierDecomposition",
    "Bundle",
    "Calibration",
    "CalibrationTest",
    "EndpointSettings",
    "FittedModel",
    "Forgetting",
    "KnownBase",
    "LexiconScorer",
    "LinearScorer",
    "LinearSettings",
    "Merged",
    "ModelReader",
    "OnnxExport",
    "OnnxScorer",
    "PromptSettings",
    "PromptedScorer",
    "Robustness",
    "ScoreCache",
    "ScoredArticles",
    "Scorer",
    "TinyInstructSettings",
    "TinyLmSettings",
    "TinySettings",
    "TransformerScorer",
    "TuneSettings",
    "adaptive_calibration_error",
    "brier_decomposition",
    "brier_score",
    "bundle_reader",
    "calibration_test",
    "classification_report",
    "classwise_calibration_error",
    "compare_classifiers",
    "confidence_test",
    "default_settings",
    "expected_calibration_error",
    "explain_settings",
    "export_onnx",
    "fit_calibration",
    "fit_linear",
    "fit_scorer",
    "known_bases",
    "list_bundles",
    "measure_bias",
    "measure_forgetting",
    "merge",
    "onnx_reader",
    "open_adapter",
    "open_base",
    "open_bundle",
    "pretrain_tiny",
    "pretrain_tiny_instruct",
    "pretrain_tiny_lm",
    "probe",
    "reliability_table",
    "resolve_base",
    "score_articles",
    "score_stream",
    "tune",
    "wilson_interval",
    "write_bundle",
]
