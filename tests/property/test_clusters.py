"""What holds for any clusters."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millscale.learn.clusters import largest_first
from millscale.metrics.clusters import UNSORTED, agreement_of, cluster_scores, matched

labels = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(low, 4), min_size=n, max_size=n) for low in (0, -1)))
)


@given(labels, st.permutations(range(5)))
def test_numbers_of_clusters_mean_nothing(pair, order):
    truth, found = pair
    renamed = [order[label] if label != UNSORTED else UNSORTED for label in found]
    a, b = cluster_scores(truth, found), cluster_scores(truth, renamed)
    assert (a.accuracy, a.nmi, a.ari) == pytest.approx((b.accuracy, b.nmi, b.ari))
    assert 0 <= a.nmi <= 1 + 1e-9
    assert a.ari <= 1 + 1e-9


@given(labels)
def test_agreement_is_mutual(pair):
    assert agreement_of(*pair) == pytest.approx(agreement_of(*reversed(pair)))


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_no_other_pairing_gains_more(rows, columns, seed):
    gain = np.random.default_rng(seed).integers(0, 9, (rows, columns))
    wide = gain if rows <= columns else gain.T
    best = max(
        sum(wide[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(wide.shape[1]), len(wide))
    )
    assert sum(gain[i, j] for i, j in matched(gain)) == best


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=40))
def test_the_largest_cluster_comes_first(found):
    numbered = largest_first(np.array(found))
    sizes = np.bincount(numbered[numbered != UNSORTED])
    assert (np.diff(sizes[sizes > 0]) <= 0).all()
    assert agreement_of(found, numbered) == 1.0
    assert ((numbered == UNSORTED) == (np.array(found) == UNSORTED)).all()
