import numpy as np

from millscale.data.audit.index import (
    CHANCE_VOTES,
    PAIRS_PER_IMAGE,
    VOTE,
    OffsetIndex,
    count_votes,
    likeliest,
    pair_starts,
)


def votes(*rows: tuple[int, int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), VOTE)


def test_pairs_begin_where_either_image_changes() -> None:
    found = votes((0, 1, 5, 0, 9), (0, 1, 7, 0, 2), (0, 2, 0, 0, 2), (1, 2, 0, 0, 2))
    assert pair_starts(found).tolist() == [0, 2, 3]
    assert pair_starts(found[:0]).tolist() == []


def test_offsets_in_images_of_any_length() -> None:
    with OffsetIndex() as index:
        for image, x in enumerate((70_000, 10)):
            index.add(image, np.array([7, 8], np.uint64), np.array([x, x + 1]), np.array([5, 5]))
        assert index.votes().tolist() == [(0, 1, 69_990, 0, 2)]


def test_few_pairs_are_all_verified() -> None:
    found = votes((0, 1, 5, 0, 9), (0, 1, 7, 0, 2), (0, 2, 0, 0, 2))
    assert likeliest(found).tolist() == found.tolist()
    assert len(likeliest(found[:0])) == 0


def test_in_a_crowd_that_meets_by_chance_only_the_best_of_each_image_are_verified() -> None:
    """Every two of 200 images share two keys; images 0 and 199 three, 7 and 8 many, at two offsets."""
    n = 200
    special = {(0, 199): 3, (7, 8): CHANCE_VOTES + 1}
    rows = [(a, b, 1, 1, special.get((a, b), 2)) for a in range(n) for b in range(a + 1, n)]
    rows.insert(rows.index((7, 8, 1, 1, CHANCE_VOTES + 1)) + 1, (7, 8, 4, 4, 1))
    kept = likeliest(votes(*rows)).tolist()
    assert len(kept) <= n * PAIRS_PER_IMAGE
    assert {(0, 199, 1, 1, 3), (7, 8, 1, 1, CHANCE_VOTES + 1), (7, 8, 4, 4, 1)} <= set(kept)
    assert {image for a, b, *_ in kept for image in (a, b)} == set(range(n))


def test_pairs_of_many_votes_are_never_left_out() -> None:
    found = votes(*((0, b, 1, 1, CHANCE_VOTES + 1) for b in range(1, 3 * PAIRS_PER_IMAGE)))
    assert likeliest(found).tolist() == found.tolist()


def test_equal_rows_are_counted_together() -> None:
    rng = np.random.default_rng(3)
    drawn = np.zeros(3000, VOTE)
    for name, low, high in (("a", 0, 4), ("b", 4, 9), ("dx", -3, 3), ("dy", -2, 2)):
        drawn[name] = rng.integers(low, high, len(drawn))
    drawn["votes"] = rng.integers(1, 5, len(drawn))
    expected: dict[tuple[int, ...], int] = {}
    for *place, count in drawn.tolist():
        expected[tuple(place)] = expected.get(tuple(place), 0) + count
    found = count_votes(drawn).tolist()
    assert {tuple(place): count for *place, count in found} == expected
    assert len(found) == len(expected)
