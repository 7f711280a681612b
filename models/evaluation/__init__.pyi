from .bias import Bias, measure_bias
from .bias_sentences import Attribute
from .classification import classification_report
from .comparison import McNemar, cohens_d, compare_classifiers, losses, mcnemar, paired_t, sign_flip, wilcoxon
from .forgetting import Forgetting, embedding_drift, language_loss, measure_forgetting
from .refusals import RefusalChange, Refusals, causal_likelihoods, compare_refusals, measure_refusals
from .robustness import Robustness, probe

__all__ = [
    "Attribute",
    "Bias",
    "Forgetting",
    "McNemar",
    "RefusalChange",
    "Refusals",
    "Robustness",
    "causal_likelihoods",
    "classification_report",
    "cohens_d",
    "compare_classifiers",
    "compare_refusals",
    "embedding_drift",
    "language_loss",
    "losses",
    "mcnemar",
    "measure_bias",
    "measure_forgetting",
    "measure_refusals",
    "paired_t",
    "probe",
    "sign_flip",
    "wilcoxon",
]
