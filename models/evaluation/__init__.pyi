from .agreement import agreement
from .classification import classification_report
from .comparison import McNemar, cohens_d, compare_classifiers, losses, mcnemar, paired_t, sign_flip, wilcoxon
from .forgetting import Forgetting, embedding_drift, language_loss, measure_forgetting
from .robustness import Robustness, probe

__all__ = [
    "Forgetting",
    "McNemar",
    "Robustness",
    "agreement",
    "classification_report",
    "cohens_d",
    "compare_classifiers",
    "embedding_drift",
    "language_loss",
    "losses",
    "mcnemar",
    "measure_forgetting",
    "paired_t",
    "probe",
    "sign_flip",
    "wilcoxon",
]
