"""Arguments out of range are refused with their name, their value and a remedy; the ends of a range are as written."""

import math

import pytest

from embargo.backtest import arguments
from embargo.data_loaders.errors import ConfigError


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (arguments.check_level, [0.5, 0.999], [0.49, 1.0, 95.0]),
        (lambda share: arguments.check_share("level", share), [1e-9, 0.999], [0.0, 1.0, 5.0]),
        (arguments.check_periods_per_year, [1e-9, 252.0], [0.0, -1.0]),
        (arguments.check_n_boot, [100, 2000], [99, 0]),
        (arguments.check_mean_block, [None, 1.0, 40.5], [0.99, 0.0]),
        (lambda block: arguments.check_block(block, 30), [1, 30], [0, 31]),
        (lambda horizon: arguments.check_at_least("horizon", horizon, 1), [1, 5], [0]),
        (lambda inflation: arguments.check_positive("inflation", inflation), [1e-9, 3.0], [0.0, -2.0]),
    ],
)
def test_a_check_takes_its_range_and_nothing_else(check, good, bad):
    for value in good:
        check(value)
    for value in [*bad, math.nan]:
        with pytest.raises(ConfigError, match=rf"^\w+ must .*got {value}\."):
            check(value)
