"""Which images are for training, validation and test: strata of classes, and groups that are never divided.

All of it depends on the images' order and classes alone: whatever the seed, a net is judged on the same test images.
"""

import numpy as np

from ..core.errors import DataError

_SPLIT_SEED = 0


def set_aside(
    indices: np.ndarray, strata: dict[str, np.ndarray], fraction: float, groups: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Divide indices in two: (the rest, about `fraction` of each stratum).

    Args:
        strata: the indices by what must be on both sides, such as "class 'cat'".
        groups: a number an image of the whole set; images of one are on one side. None: each is by itself.
    """
    if not fraction:
        return indices, indices[:0]
    rng = np.random.default_rng(_SPLIT_SEED)
    if groups is not None:
        chosen = _whole_groups(strata, fraction, groups, rng, name)
    else:
        aside = []
        for stratum, members in strata.items():
            if len(members) == 1:
                raise DataError(f"{name}: {stratum} has one image left, and so none to set aside; add some")
            part = min(max(1, round(fraction * len(members))), len(members) - 1)  # some stay
            aside.append(rng.permutation(members)[:part] if len(members) else members)
        chosen = np.concatenate(aside)
    chosen = np.sort(chosen)
    return np.setdiff1d(indices, chosen), chosen


def _whole_groups(strata, fraction: float, groups: np.ndarray, rng, name: str) -> np.ndarray:
    """Groups, one after another, as long as each brings the strata's shares nearer to the fraction."""
    members = np.concatenate(list(strata.values()))
    counts = _counts(strata, groups)
    for stratum, row in zip(strata, counts, strict=True):
        if row.any() and np.count_nonzero(row) < 2:
            raise DataError(
                f"{name}: {stratum} is in one group alone, and a group is not divided; add images of others"
            )
    wanted = fraction * counts.sum(1)
    taken, inside = np.zeros(len(strata)), np.zeros(counts.shape[1], bool)
    scale, passed = np.maximum(counts.sum(1), 1), False
    order = _order(counts, rng)
    for group in [*order, *order[::-1]]:  # the second time for strata of which there is nothing yet, small groups first
        after = taken + counts[:, group]
        nearer = (((after - wanted) / scale) ** 2).sum() < (((taken - wanted) / scale) ** 2).sum()
        lacking = passed and ((taken == 0) & (counts[:, group] > 0)).any()
        if not inside[group] and (nearer or lacking) and ((after < counts.sum(1)) | (counts[:, group] == 0)).all():
            taken, inside[group] = after, True
        passed = passed or group == order[-1]
    missing = [stratum for stratum, row, count in zip(strata, counts, taken, strict=True) if row.any() and not count]
    if missing:
        raise DataError(f"{name}: groups are so large that {missing[0]} cannot be in both parts; add images of others")
    numbers = np.unique(groups)
    return members[np.isin(groups[members], numbers[inside])]


def _counts(strata, groups: np.ndarray) -> np.ndarray:
    """Images of each stratum (rows) in each group (columns)."""
    numbers = np.unique(groups)
    return np.stack(
        [
            np.isin(numbers, groups[m]) * np.bincount(np.searchsorted(numbers, groups[m]), minlength=len(numbers))
            for m in strata.values()
        ]
    )


def _order(counts: np.ndarray, rng) -> np.ndarray:
    """Groups in an order by chance, the largest first among those of few images."""
    order = rng.permutation(counts.shape[1])
    return order[np.argsort(-counts.sum(0)[order], kind="stable")]


def folds(strata: dict[str, np.ndarray], count: int, groups: np.ndarray | None, name: str) -> list[np.ndarray]:
    """`count` disjoint parts of all indices, alike in their strata; groups are whole."""
    rng = np.random.default_rng(_SPLIT_SEED)
    if groups is None:
        parts: list[list[np.ndarray]] = [[] for _ in range(count)]
        begin = 0
        for stratum, members in strata.items():
            if len(members) < count:
                raise DataError(f"{name}: {stratum} has {len(members)} images, too few for {count} folds")
            for i, part in enumerate(np.array_split(rng.permutation(members), count)):
                parts[(begin + i) % count].append(part)
            begin += len(members) % count  # the next stratum's larger parts go to other folds
        return [np.sort(np.concatenate(part)) for part in parts]
    counts = _counts(strata, groups)
    for stratum, row in zip(strata, counts, strict=True):
        if np.count_nonzero(row) < count:
            raise DataError(f"{name}: {stratum} is in {np.count_nonzero(row)} groups, too few for {count} folds")
    totals, where = np.zeros((count, len(strata))), np.zeros(counts.shape[1], int)
    for group in _order(counts, rng):
        shares = [
            ((totals + (np.arange(count) == fold)[:, None] * counts[:, group]) / counts.sum(1)) for fold in range(count)
        ]
        where[group] = int(np.argmin([share.std(0).mean() for share in shares]))
        totals[where[group]] += counts[:, group]
    members, numbers = np.concatenate(list(strata.values())), np.unique(groups)
    found = where[np.searchsorted(numbers, groups[members])]
    if (totals == 0).any():
        raise DataError(f"{name}: the groups are too unequal for {count} folds with every class in each; ask for fewer")
    return [np.sort(members[found == fold]) for fold in range(count)]
