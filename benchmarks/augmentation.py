"""How many images a second does augmentation deliver, done three ways?

    python benchmarks/augmentation.py [--quick]

Shifts of up to four pixels and flips of random images, in batches of 256, three epochs as `fit` goes through them:
this zoo's whole-batch gather, a function mapped over single images before batching as tutorials write it, and Keras'
preprocessing layers on batches. Each pipeline shuffles and batches as well. The first two with the same number of
parallel calls; Keras' layers interpolate and share some random numbers in a batch, so that their work is not the same.
"""

import argparse

from cnn_zoo import load_data  # before Keras, so that TensorFlow starts as it does for users of the zoo

# isort: split
import keras
import numpy as np
import tensorflow as tf
from common import alternate, spread, write

PIXELS, BATCH, PARALLEL, EPOCHS = 4, 256, 2, 3


def shift_and_flip(image, seed):
    """One image, as a tutorial does it: pad, crop at random, flip at random; stateless."""
    padded = tf.image.pad_to_bounding_box(
        image, PIXELS, PIXELS, image.shape[0] + 2 * PIXELS, image.shape[1] + 2 * PIXELS
    )
    crop = tf.image.stateless_random_crop(padded, image.shape, seed)
    return tf.image.stateless_random_flip_left_right(crop, seed)


def per_sample(images, labels):
    """tf.data over single images."""
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(10_000)

    def one(number, sample):
        image, label = sample
        return tf.cast(shift_and_flip(image, tf.stack([0, tf.cast(number, tf.int32)])), tf.float32) / 255, label

    return data.enumerate().map(one, num_parallel_calls=PARALLEL).batch(BATCH)


def keras_layers(images, labels):
    """Keras' layers on whole batches."""
    side = images.shape[1]
    layers = [keras.layers.RandomTranslation(PIXELS / side, PIXELS / side, fill_mode="constant")]
    layers.append(keras.layers.RandomFlip("horizontal"))

    def batch(x, y):
        x = tf.cast(x, tf.float32) / 255
        for layer in layers:
            x = layer(x, training=True)
        return x, y

    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(10_000)
    return data.batch(BATCH).map(batch, num_parallel_calls=PARALLEL)


def measure(images, labels, repeats: int) -> dict:
    """Images a second of the three."""
    side = images.shape[1]
    data = load_data((images, labels), validation=0)
    chosen = data.splits["train"]
    changes = {"translate": PIXELS / side, "flip": True}
    ours = data.batches("train", batch_size=BATCH, epochs=(0, EPOCHS), augment=changes)
    images, labels = images[chosen], labels[chosen].astype(np.int64)

    def drain(dataset, times=1):
        options = tf.data.Options()
        options.autotune.enabled = False
        dataset = dataset.prefetch(2).with_options(options)
        for _ in range(times):
            for _ in dataset:
                pass

    ways = {
        "whole batches": lambda: drain(ours),
        "single images": lambda: drain(per_sample(images, labels), EPOCHS),
        "Keras layers": lambda: drain(keras_layers(images, labels), EPOCHS),
    }
    times = alternate(ways, repeats)
    rates = {name: spread([EPOCHS * len(labels) / t for t in seconds], 0) for name, seconds in times.items()}
    return rates | {
        "whole batches / single images": round(rates["whole batches"]["median"] / rates["single images"]["median"], 1)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a thousand images, once; nothing is kept")
    quick = parser.parse_args().quick
    rng, count, repeats = np.random.default_rng(0), 1_000 if quick else 50_000, 1 if quick else 5
    results = {}
    for shape in ((28, 28, 1), (32, 32, 3)):
        images = rng.integers(0, 256, (count, *shape), np.uint8)
        results["x".join(map(str, shape))] = measure(images, np.arange(count) % 10, repeats)
    write("augmentation", {"images_per_second": results}, quick)


if __name__ == "__main__":
    main()
