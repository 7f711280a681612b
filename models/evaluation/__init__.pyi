from .agreement import agreement
from .bias import Bias, measure_bias
from .bias_sentences import Attribute
from .classification import classification_report
from .comparison import McNemar, cohens_d, compare_classifiers, losses, mcnemar, paired_t, sign_flip, wilcoxon
from .forgetting import Forgetting, embedding_drift, language_loss, measure_forgetting
from .generation import compare_generations, generation_table
from .matching import TokenMatch, encoder_of, matching_measures, text_cosine, token_match
from .numbers import NumberAccuracy, Quantity, number_accuracy, quantities
from .overlap import Measure, mean_of, overlap_measures, term_recall
from .refusals import RefusalChange, Refusals, causal_likelihoods, compare_refusals, measure_refusals
from .robustness import Robustness, probe

__all__ = [
    "Attribute",
    "Bias",
    "Forgetting",
    "McNemar",
    "Measure",
    "NumberAccuracy",
    "Quantity",
    "RefusalChange",
    "Refusals",
    "Robustness",
    "TokenMatch",
    "agreement",
    "causal_likelihoods",
    "classification_report",
    "cohens_d",
    "compare_classifiers",
    "compare_generations",
    "compare_refusals",
    "embedding_drift",
    "encoder_of",
    "generation_table",
    "language_loss",
    "losses",
    "matching_measures",
    "mcnemar",
    "mean_of",
    "measure_bias",
    "measure_forgetting",
    "measure_refusals",
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
