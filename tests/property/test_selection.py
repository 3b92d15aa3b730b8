"""Which images are asked about must not depend on the order they come in; no surface is asked about twice."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millscale.learn.selection import next_to_label

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**31)


def pool(seed, n=90):
    """Vectors in five clumps, their groups, labels on some, and doubts."""
    rng = np.random.default_rng(seed)
    vectors = (4 * rng.normal(size=(5, 12))[rng.integers(0, 5, n)] + rng.normal(size=(n, 12))).astype(np.float32)
    return vectors, rng.integers(0, n // 2, n), rng.random(n) < rng.choice([0, 0.1]), rng.random(n)


@quick
@given(seeds, st.integers(1, 60), st.sampled_from([20, 50, 4000]))
def test_no_group_is_asked_twice_nor_where_it_has_a_label(seed, count, most):
    vectors, groups, labelled, doubt = pool(seed)
    found = next_to_label(vectors, groups, labelled, doubt, count, most=most).rows
    asked = groups[found]
    assert len(np.unique(asked)) == len(asked)
    assert not np.isin(asked, groups[labelled]).any()
    left = len(np.setdiff1d(groups, groups[labelled]))
    assert len(found) == min(count, left) or most < len(groups)
    assert len(found) > 0


@quick
@given(seeds, st.sampled_from([30, 4000]))
@example(244, 4000)  # two that are like each other alone
def test_the_order_of_the_images_does_not_matter(seed, most):
    vectors, groups, labelled, doubt = pool(seed)
    order = np.random.default_rng(seed).permutation(len(groups))
    found = next_to_label(vectors, groups, labelled, doubt, 12, most=most).rows
    other = next_to_label(vectors[order], groups[order], labelled[order], doubt[order], 12, most=most).rows
    assert found.tolist() == order[other].tolist()


@quick
@given(seeds)
def test_more_is_the_same_and_then_some(seed):
    few, many = (next_to_label(*pool(seed), count).rows.tolist() for count in (5, 15))
    assert many[:5] == few
