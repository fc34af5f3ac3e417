"""Images that are there twice, or nearly: the same photo in another size, compression or brightness.

Each image becomes a small grey picture of mean 0 and length 1. Those whose pictures point in almost the same direction
are compared; which pairs are worth comparing is found by signs of differences between neighbours (a difference hash), of
which near-duplicates share at least one part of four.
"""

import numpy as np

SIDE = 16  # pixels of the small pictures
ALIKE = 0.99  # cosine of two small pictures
MOST_ALIKE = 64  # images of one hash part: more are flat or drawn from a pattern, and only equal ones are looked for


def near_duplicates(images: np.ndarray, most: int = 100_000) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of images, uint8 (n, height, width, channels), that are nearly the same.

    Args:
        most: images at most, spread evenly; of larger sets the others are not looked at.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).astype(int))
    small = np.concatenate([_small(images[part]) for part in np.array_split(chosen, max(1, len(chosen) // 256))])
    flat = small.std((1, 2)) < 1
    vectors = small.reshape(len(small), -1) - small.mean((1, 2))[:, None]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    signs = np.packbits((small[:, ::2, 1::2] > small[:, ::2, ::2]).reshape(len(small), 4, -1), axis=2)  # 4 of 16 bits
    found: set[tuple[int, int]] = set()
    for part in range(4):
        keys = signs[:, part].astype(np.int64) @ (256 ** np.arange(signs.shape[2]))
        order = np.argsort(keys, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            group = group[~flat[group]]
            if 1 < len(group) <= MOST_ALIKE:
                close = np.argwhere(np.triu(vectors[group] @ vectors[group].T > ALIKE, 1))
                found.update((int(group[i]), int(group[j])) for i, j in close)
    seen: dict[bytes, int] = {}
    for i, place in enumerate(chosen):  # equal to the last bit, flat ones too
        first = seen.setdefault(images[place].tobytes(), i)
        if first != i:
            found.add((first, i))
    return sorted((int(chosen[i]), int(chosen[j])) for i, j in {(min(pair), max(pair)) for pair in found})


def _small(images: np.ndarray) -> np.ndarray:
    """Means of SIDE x SIDE parts of the grey images, float32."""
    grey = images[..., : min(3, images.shape[3])].mean(3, dtype=np.float32)
    for axis in (1, 2):
        side = grey.shape[axis]
        edges = np.minimum(np.arange(SIDE) * side // SIDE, side - 1)
        sizes = np.maximum(np.diff([*edges, side]), 1)
        shape = [1, 1, 1]
        shape[axis] = SIDE
        grey = np.add.reduceat(grey, edges, axis=axis) / sizes.reshape(shape).astype(np.float32)
    return grey
