"""In how many bits a model computes: the dtype policies of Keras, chosen by what the processor can do."""

import contextlib
import functools
import os
import threading

from ..core.errors import UsageError, unknown
from ..core.machine import BFLOAT16_FLAGS, processor_flags, quiet_import

_LOCK, _INSIDE = threading.Lock(), []  # what Keras was set to when each came that is inside `policy`
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


def choose_precision(precision: str = "auto") -> str:
    """The Keras dtype policy: "float32"; "mixed_bfloat16", which keeps weights, sums and normalisation in 32 bits;
    "mixed_float16", likewise, for GPUs such as the T4, which do not know the other; or for "auto" the faster of the
    first two on this machine.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
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
def policy(dtype: str | None = None):
    """What is made inside has this dtype policy, channels last and numbers of 32 bits, whatever keras.json says.

    None leaves Keras' global policy, but one that keeps weights in 16 bits, of which there is none in this package. The
    policy is of this thread; the other two are of the process, and as they were when the last thread has left.
    """
    with quiet_import():
        import keras

    config, before = keras.config, keras.config.dtype_policy()
    if dtype is None:
        dtype = "float32" if before.variable_dtype in ("float16", "bfloat16") else before
    with _LOCK:
        _INSIDE.append((config.image_data_format(), config.floatx()))
        config.set_image_data_format("channels_last")
        config.set_floatx("float32")
    config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        config.set_dtype_policy(before)
        with _LOCK:
            if len(_INSIDE) == 1:
                config.set_image_data_format(_INSIDE[0][0])
                config.set_floatx(_INSIDE[0][1])
            _INSIDE.pop()


def set_precision(model, dtype: str) -> None:
    """Let all layers of a built model compute in another precision; its weights are 32-bit numbers in both."""
    for layer in model._flatten_layers():
        layer.dtype_policy = dtype
