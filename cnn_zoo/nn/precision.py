"""In how many bits a model computes: the dtype policies of Keras, chosen by what the processor can do."""

import contextlib
import functools
import os

from ..core.errors import UsageError, unknown
from ..core.machine import BFLOAT16_FLAGS, processor_flags

PRECISIONS = ("auto", "float32", "mixed_bfloat16")


def choose_precision(precision: str = "auto") -> str:
    """The Keras dtype policy: "float32"; "mixed_bfloat16", which keeps weights, sums and normalisation in 32 bits; or
    for "auto" the faster of the two on this machine.
    """
    if precision not in PRECISIONS:
        raise UsageError(unknown("precision", precision, PRECISIONS))
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if _bfloat16_is_fast() else "float32"


@functools.cache
def _bfloat16_is_fast() -> bool:
    """Whether TensorFlow multiplies matrices of bfloat16 in hardware here."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return False  # the other backends' kernels for CPUs convert to float32 and back
    import tensorflow as tf

    if devices := tf.config.get_visible_devices("GPU"):
        ability = (tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in devices)
        return all(found is not None and found >= (8, 0) for found in ability)
    # without oneDNN, TensorFlow's own kernels imitate bfloat16, ten times as slowly as they compute in float32
    one_dnn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower() not in ("0", "false")
    return one_dnn and bool(processor_flags() & BFLOAT16_FLAGS)


@functools.cache
def processor_is_fast() -> bool:
    """Whether bfloat16 is fast here, and on a CPU, by oneDNN's kernels."""
    import tensorflow as tf

    return _bfloat16_is_fast() and not tf.config.get_visible_devices("GPU")


@contextlib.contextmanager
def policy(dtype: str | None):
    """Layers made inside have this dtype policy; None leaves Keras' global one."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(before if dtype is None else dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def set_precision(model, dtype: str) -> None:
    """Let all layers of a built model compute in another precision; its weights are 32-bit numbers in both."""
    for layer in model._flatten_layers():
        layer.dtype_policy = dtype
