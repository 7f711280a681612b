import gc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from embargo.backtest.significance.families import benjamini_hochberg, bonferroni, holm
from embargo.data_loaders.errors import DataError

WAYS = {"holm": holm, "bonferroni": bonferroni, "fdr_bh": benjamini_hochberg}


def test_families_by_hand():
    p = [0.01, None, 0.04, 0.03]
    assert holm(p) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert bonferroni(p) == [pytest.approx(0.03), None, pytest.approx(0.12), pytest.approx(0.09)]
    assert benjamini_hochberg(p) == [pytest.approx(0.03), None, pytest.approx(0.04), pytest.approx(0.04)]
    # 0.1 * 3 / 3 is more than 0.1.
    assert benjamini_hochberg([0.1] * 3) == [0.1] * 3


def test_the_example_of_benjamini_and_hochberg():
    """Table of section 3.2: at 5 % Bonferroni's cut finds three of fifteen, theirs the first four."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert sum(value <= 0.05 for value in bonferroni(p)) == 3
    assert sum(value <= 0.05 for value in benjamini_hochberg(p)) == 4


@pytest.fixture
def nothing_to_collect():
    """Holm's method in statsmodels collects garbage at every call; after a thousand other tests that takes a second.

    Nothing is unfrozen afterwards: what stays for the whole session has been frozen before any test.
    """
    gc.collect()
    gc.freeze()


@pytest.mark.usefixtures("nothing_to_collect")
@pytest.mark.parametrize("name", WAYS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(p=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_statsmodels_agrees(name, p):
    np.testing.assert_allclose(WAYS[name](p), multipletests(p, method=name)[1], rtol=1e-12, atol=1e-300)


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 1.0)), max_size=20))
def test_tests_that_were_not_made_do_not_count(p):
    for adjust in WAYS.values():
        found = adjust(p)
        assert [value is None for value in found] == [value is None for value in p]
        assert [value for value in found if value is not None] == adjust([value for value in p if value is not None])
    for one, three, two in zip(holm(p), bonferroni(p), benjamini_hochberg(p), strict=True):
        assert one is None or 0.0 <= two <= one <= three <= 1.0


@pytest.mark.parametrize("adjust", WAYS.values())
def test_what_is_no_p_value_is_refused(adjust):
    assert adjust([]) == []
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(DataError, match="place 1"):
            adjust([0.5, wrong])
