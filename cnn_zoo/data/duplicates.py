"""Images that are there twice, or nearly: the same photo in another size, compression or brightness.

Each image becomes a small grey picture of mean 0 and length 1; two of almost the same direction, in coarse and in finer
pictures, are near-duplicates. Only those are compared that agree in one of PARTS choices of signs of differences of
neighbours (a difference hash).
"""

import hashlib

import numpy as np

COARSE, FINE = 8, 16  # pixels of a side
ALIKE = {COARSE: 0.995, FINE: 0.99}  # least cosine
PARTS, SIGNS = 24, 13
MOST = 500  # images that agree in a choice of signs: more of them are compared so many at a time


def near_duplicates(images: np.ndarray, among: np.ndarray | None = None, most: int = 100_000) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of images, uint8 (n, height, width, channels), that are nearly the same.

    Args:
        among: places of the images to look at; None: all.
        most: images at most, spread evenly; of larger sets the others are not looked at.
    """
    among = np.arange(len(images)) if among is None else np.sort(among)
    chosen = among[np.unique(np.linspace(0, len(among) - 1, min(most, len(among))).astype(int))]
    first_of = {}
    for place in chosen:  # equal to the last bit: each with the first of them
        first_of.setdefault(hashlib.sha256(images[place].tobytes()).digest(), []).append(int(place))
    equal = [(places[0], other) for places in first_of.values() for other in places[1:]]
    chosen = np.array(sorted(places[0] for places in first_of.values()))
    parts = [_grey(images[part]) for part in np.array_split(chosen, max(1, len(chosen) // 256))]
    coarse, fine = (np.concatenate([_small(part, side) for part in parts]) for side in (COARSE, FINE))
    flat = coarse.std((1, 2)) < 1
    signs = (coarse[:, :, 1:] > coarse[:, :, :-1]).reshape(len(coarse), -1)
    coarse, fine = _directions(coarse), _directions(fine)
    rng, found = np.random.default_rng(0), set()
    for _ in range(PARTS):
        keys = signs[:, rng.choice(signs.shape[1], SIGNS, replace=False)] @ (1 << np.arange(SIGNS))
        order = np.flatnonzero(~flat)[np.argsort(keys[~flat], kind="stable")]
        for group in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for some in np.array_split(group, max(1, -(-len(group) // MOST))):
                for i, j in np.argwhere(np.triu(coarse[some] @ coarse[some].T > ALIKE[COARSE], 1)):
                    found.add((int(min(some[i], some[j])), int(max(some[i], some[j]))))
    found = {pair for pair in found if fine[pair[0]] @ fine[pair[1]] > ALIKE[FINE]}
    return sorted([*equal, *((int(chosen[i]), int(chosen[j])) for i, j in found)])


def _grey(images: np.ndarray) -> np.ndarray:
    return images[..., : min(3, images.shape[3])].mean(3, dtype=np.float32)


def _small(grey: np.ndarray, count: int) -> np.ndarray:
    """Means of count x count parts of each grey image."""
    for axis in (1, 2):
        side = grey.shape[axis]
        edges = np.arange(count) * side // count
        sizes = np.maximum(np.diff([*edges, side]), 1).astype(np.float32)
        grey = np.add.reduceat(grey, edges, axis=axis) / sizes.reshape([count if i == axis else 1 for i in range(3)])
    return grey


def _directions(small: np.ndarray) -> np.ndarray:
    """Vectors of length 1, without what all images share, such as borders."""
    small = small - small.mean(0) if len(small) > 8 else small
    vectors = (small - small.mean((1, 2), keepdims=True)).reshape(len(small), -1)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
