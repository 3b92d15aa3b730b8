"""Our clusters' numbers against scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

from millscale.learn.clusters import silhouettes
from millscale.learn.embedding import Embedding, neighbours, unit
from millscale.metrics.clusters import cluster_scores, contingency, matched


@pytest.mark.parametrize("seed", range(6))
def test_mutual_information_and_rand_index(seed):
    rng = np.random.default_rng(seed)
    truth, noise = rng.integers(0, 5, 80), rng.random(80) < 0.1 * seed
    found = np.where(noise, rng.integers(0, 7, 80), truth)
    scores = cluster_scores(truth, found)
    assert scores.nmi == pytest.approx(normalized_mutual_info_score(truth, found), abs=1e-12)
    assert scores.ari == pytest.approx(adjusted_rand_score(truth, found), abs=1e-12)
    counts = contingency(truth, found)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    assert scores.accuracy == pytest.approx(counts[rows, columns].sum() / 80)


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 9), (9, 3), (20, 20)])
def test_the_hungarian_method(shape):
    gain = np.random.default_rng(1).normal(size=shape)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    pairs = matched(gain)
    assert len(pairs) == min(shape)
    assert sum(gain[i, j] for i, j in pairs) == pytest.approx(gain[rows, columns].sum())


def test_silhouettes_of_independent_images():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 300)
    plain = unit(np.eye(6)[labels] + 0.4 * rng.normal(size=(300, 6)))
    ((value, _),) = silhouettes(Embedding(plain, np.arange(300)), [labels])
    assert value == pytest.approx(silhouette_samples(plain, labels), abs=1e-6)


def test_silhouettes_and_neighbours_pass_over_the_own_group():
    """The slow way: every image against those of other groups, one by one."""
    rng = np.random.default_rng(3)
    plain, groups, labels = unit(rng.normal(size=(40, 3))), rng.integers(0, 12, 40), rng.integers(0, 3, 40)
    ((value, second),) = silhouettes(Embedding(plain, groups), [labels])
    index, cosine = neighbours(plain, groups, 5)
    for i in range(40):
        others = np.flatnonzero(groups != groups[i])
        away = np.linalg.norm(plain - plain[i], axis=1)
        mean = np.array([away[others[labels[others] == k]].mean() for k in range(3)])
        own, rest = mean[labels[i]], np.where(np.arange(3) == labels[i], np.inf, mean)
        assert value[i] == pytest.approx((rest.min() - own) / max(own, rest.min()), abs=1e-6)
        assert second[i] == rest.argmin()
        assert set(index[i]) == set(others[np.argsort(away[others])[:5]])
        assert cosine[i] == pytest.approx(plain[index[i]] @ plain[i])
