from .attempts import StepwiseSharpe, stepwise_sharpe
from .bayes import PairedBelief, jzs_bayes_factor, paired_belief
from .comparison import (
    PairedDifference,
    differing_rows,
    mean_difference,
    sharpe_difference,
    stretch_differences,
)
from .confidence_set import ConfidenceSet, model_confidence_set
from .deflation import deflated_sharpe, expected_maximum_sharpe, minimum_track_record, probabilistic_sharpe
from .families import benjamini_hochberg, bonferroni, holm
from .forecasts import ForecastComparison, diebold_mariano
from .long_run import variance_inflation
from .looks import SequentialTest, crossing_probability, group_sequential_bounds, sequential_test, spent_by
from .means import MeanEstimate, mean_estimate
from .overfitting import Overfitting, OverfittingByChance, overfitting_by_chance, probability_of_overfitting
from .permutation import (
    WAYS,
    PermutationResult,
    Rearrangement,
    Way,
    block_permutation,
    permutation_result,
    permutation_test,
    possible,
    rearrangement,
)
from .power import detectable_sharpe, required_length
from .resampling import automatic_block_length, stationary_blocks
from .series import MINIMUM_ROWS
from .shape import SampleShape, sample_shape
from .sharpe import SharpeEstimate, conditional_sharpe, moving_rows, sharpe_estimate
from .standard_errors import SharpeErrors, aggregated_sharpe, aggregation_factor, sharpe_errors
from .superior import StepwiseSuperior, SuperiorAbility, reality_check, stepwise_superior, superior_ability
from .trials import EffectiveTrials, effective_trials

__all__ = [
    "MINIMUM_ROWS",
    "WAYS",
    "ConfidenceSet",
    "EffectiveTrials",
    "ForecastComparison",
    "MeanEstimate",
    "Overfitting",
    "OverfittingByChance",
    "PairedBelief",
    "PairedDifference",
    "PermutationResult",
    "Rearrangement",
    "SampleShape",
    "SequentialTest",
    "SharpeErrors",
    "SharpeEstimate",
    "StepwiseSharpe",
    "StepwiseSuperior",
    "SuperiorAbility",
    "Way",
    "aggregated_sharpe",
    "aggregation_factor",
    "automatic_block_length",
    "benjamini_hochberg",
    "block_permutation",
    "bonferroni",
    "conditional_sharpe",
    "crossing_probability",
    "deflated_sharpe",
    "detectable_sharpe",
    "diebold_mariano",
    "differing_rows",
    "effective_trials",
    "expected_maximum_sharpe",
    "group_sequential_bounds",
    "holm",
    "jzs_bayes_factor",
    "mean_difference",
    "mean_estimate",
    "minimum_track_record",
    "model_confidence_set",
    "moving_rows",
    "overfitting_by_chance",
    "paired_belief",
    "permutation_result",
    "permutation_test",
    "possible",
    "probabilistic_sharpe",
    "probability_of_overfitting",
    "reality_check",
    "rearrangement",
    "required_length",
    "sample_shape",
    "sequential_test",
    "sharpe_difference",
    "sharpe_errors",
    "sharpe_estimate",
    "spent_by",
    "stationary_blocks",
    "stepwise_sharpe",
    "stepwise_superior",
    "stretch_differences",
    "superior_ability",
    "variance_inflation",
]
