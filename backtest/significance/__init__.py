"""How much of a result chance explains: intervals, deflation for the number of attempts, permutations."""

from backtest.significance.deflation import deflated_sharpe, expected_maximum_sharpe, probabilistic_sharpe
from backtest.significance.families import holm
from backtest.significance.permutation import PermutationResult, block_permutation, permutation_test
from backtest.significance.resampling import automatic_block_length, stationary_blocks
from backtest.significance.sharpe import MINIMUM_ROWS, SharpeEstimate, conditional_sharpe, sharpe_estimate

__all__ = [
    "MINIMUM_ROWS",
    "PermutationResult",
    "SharpeEstimate",
    "automatic_block_length",
    "block_permutation",
    "conditional_sharpe",
    "deflated_sharpe",
    "expected_maximum_sharpe",
    "holm",
    "permutation_test",
    "probabilistic_sharpe",
    "sharpe_estimate",
    "stationary_blocks",
]
