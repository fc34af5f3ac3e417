"""How long does a prediction take, of one image and of many?

    python benchmarks/inference.py [--quick]

`cnn_zoo.predict`, with its checks and the naming of the class, beside Keras' model.predict, predict_on_batch and a
direct call of the model, on the same random weights in float32; and how far the outputs are apart.
"""

import argparse
import statistics

from cnn_zoo import build_model, predict  # before Keras, so that TensorFlow starts as it does for users of the zoo

# isort: split
import keras
import numpy as np
from common import alternate, spread, write

from cnn_zoo.nn.calls import call

NAMES = ("lenet5", "conv_stack", "zoonet", "resnet20")


def measure(name: str, many: int, repeats: int) -> dict:
    """Milliseconds for one image, thousands of images a second for many."""
    model = build_model(name, compile=False)
    shape, rng = model.input_shape[1:], np.random.default_rng(0)
    images = rng.random((many, *shape), np.float32)
    one = images[:1]
    ways = {
        "model.predict": lambda x: model.predict(x, batch_size=256, verbose=0),
        "model.predict_on_batch": lambda x: model.predict_on_batch(x),
        "model(x)": lambda x: np.asarray(model(x, training=False)),
        "cnn_zoo.predict": lambda x: predict(model, x),
    }
    for _ in range(5):  # what is called repeatedly is compiled
        predict(model, one)
    predict(model, images)
    predict(model, images)
    single = alternate({key: lambda way=way: way(one) for key, way in ways.items()}, repeats, block=0.2)
    batch = alternate({key: lambda way=way: way(images) for key, way in ways.items()}, repeats)
    medians = {key: statistics.median(times) for key, times in single.items()}
    expected = model.predict(images, verbose=0)
    alone = np.concatenate([call(model, image[None]) for image in images[:100]])
    return {
        "one_image_milliseconds": {key: spread([1e3 * t for t in times]) for key, times in single.items()},
        "thousand_images_a_second": {key: spread([many / t / 1e3 for t in times], 2) for key, times in batch.items()},
        "model.predict / cnn_zoo.predict": round(medians["model.predict"] / medians["cnn_zoo.predict"], 1),
        "largest_difference": float(
            max(
                np.abs(call(model, images) - expected).max(),
                np.abs(alone - expected[:100]).max(),
            )
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two nets, few calls; nothing is kept")
    quick = parser.parse_args().quick
    keras.utils.set_random_seed(0)
    results = {
        name: measure(name, 300 if quick else 2_560, 2 if quick else 9) for name in NAMES[: 2 if quick else None]
    }
    write("inference", results, quick)


if __name__ == "__main__":
    main()
