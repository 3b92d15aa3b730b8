"""Connected components: images that share pixels, directly or through others, form one group."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def component_of(count: int, a: ArrayLike, b: ArrayLike) -> NDArray[np.intp]:
    """``(count,)`` the smallest member of each node's component, for undirected edges ``a[i]``-``b[i]``."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for left, right in zip(np.asarray(a).tolist(), np.asarray(b).tolist(), strict=True):
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    return np.array([root(node) for node in range(count)], np.intp)


def name_groups(ids: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each id's group, named after the smallest id in it: the name does not depend on any order."""
    index = {name: i for i, name in enumerate(ids)}
    pairs = np.array([(index[a], index[b]) for a, b in edges], np.intp).reshape(-1, 2)
    component = component_of(len(ids), pairs[:, 0], pairs[:, 1])
    smallest: dict[int, str] = {}
    for name, root in zip(ids, component.tolist(), strict=True):
        smallest[root] = min(name, smallest.get(root, name))
    return {name: smallest[root] for name, root in zip(ids, component.tolist(), strict=True)}


def members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    """The ids of each group, largest group first, then by name."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, group in groups.items():
        found[group].append(name)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))
