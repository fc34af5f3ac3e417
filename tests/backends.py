"""Every family builds and runs on the backend that KERAS_BACKEND names, and a training of each task ends there.

    KERAS_BACKEND=jax python tests/backends.py

Not collected by pytest, whose process has one backend; .ci/run calls it for jax and torch.
"""

import sys
import tempfile
import time

import keras
import numpy as np

from cnn_zoo import build_model, list_models, predict, train
from cnn_zoo.models.registry import entry


def main() -> None:
    backend, begun = keras.backend.backend(), time.perf_counter()
    families = {}
    for name in list_models():  # the smallest name of each builder
        families.setdefault(entry(name).build, name)
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    for name in families.values():
        model = build_model(name, (32, 32, 3))
        outputs = keras.ops.convert_to_numpy(model(images, training=False))
        assert outputs.shape == ((2, 32, 32, 10) if entry(name).task == "segmentation" else (2, 10)), name
        assert np.allclose(outputs.sum(-1), 1, atol=1e-5), name
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            "conv_stack", epochs=3, batch_size=100, verbose=0, out=f"{folder}/run", model_options={"batch_norm": True},
            class_weight={"3": 1.5},
        )  # fmt: skip
        accuracy, named = run.metrics["test_accuracy"], predict(run, run.load_data().images("test")[:3])
        small = {"model_options": {"filters": [2, 4]}, "data_options": {"counts": [64, 32, 32]}, "verbose": 0}
        masks = train("unet", "scenes", epochs=1, out=f"{folder}/masks", **small)
        assert 0 <= masks.metrics["test_mean_iou"] <= 1
        several = train("conv_stack", "scenes", task="multilabel", epochs=1, out=f"{folder}/several", **small)
        assert 0 <= several.metrics["test_average_precision"] <= 1
    assert accuracy > 0.8, accuracy
    assert len(named) == 3
    print(f"{backend}: {len(families)} builders and three trainings ({time.perf_counter() - begun:.0f} s)")


if __name__ == "__main__":
    sys.exit(main())
