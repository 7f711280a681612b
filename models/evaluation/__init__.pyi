from .agreement import agreement
from .classification import classification_report
from .comparison import McNemar, cohens_d, compare_classifiers, losses, mcnemar, paired_t, sign_flip, wilcoxon
from .forgetting import Forgetting, embedding_drift, language_loss, measure_forgetting
from .generation import compare_generations, generation_table
from .matching import TokenMatch, encoder_of, matching_measures, text_cosine, token_match
from .numbers import NumberAccuracy, Quantity, number_accuracy, quantities
from .overlap import Measure, mean_of, overlap_measures, term_recall
from .robustness import Robustness, probe

__all__ = [
    "Forgetting",
    "McNemar",
    "Measure",
    "NumberAccuracy",
    "Quantity",
    "Robustness",
    "TokenMatch",
    "agreement",
    "classification_report",
    "cohens_d",
    "compare_classifiers",
    "compare_generations",
    "embedding_drift",
    "encoder_of",
    "generation_table",
    "language_loss",
    "losses",
    "matching_measures",
    "mcnemar",
    "mean_of",
    "measure_forgetting",
    "number_accuracy",
    "overlap_measures",
    "paired_t",
    "probe",
    "quantities",
    "sign_flip",
    "term_recall",
    "text_cosine",
    "token_match",
    "wilcoxon",
]
