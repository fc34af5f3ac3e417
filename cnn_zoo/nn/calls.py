"""A model called with one batch, with as little around it as TensorFlow allows.

For one image, `model.predict` and `model(batch)` take milliseconds and `predict_on_batch` half a millisecond
(benchmarks/inference.py). A compiled function takes a fraction of that, but to compile costs more than a few calls: it
is done for a model that is called repeatedly, and again when its layers are others. Later training is seen.
"""

import contextlib
import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .costs import macs_if_known
from .fast import exchanged

_CALLS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # model -> what `call` knows of it
EAGER_CALLS = 3  # a model that is called more often is compiled
ONE_IMAGE_MACS = 5e7  # below, one image through XLA is faster than operation by operation


def call(model, batch: Any) -> np.ndarray:
    """The outputs of a model in inference mode."""
    if keras.backend.backend() != "tensorflow":
        return keras.ops.convert_to_numpy(model(batch, training=False))
    # what a compiled function depends on beside the values of the weights
    made_of = [(weakref.ref(layer), getattr(layer, "activation", None), layer.dtype_policy) for layer in model.layers]
    known = _CALLS.get(model)
    if known is None or known["made of"] != made_of:
        known = _CALLS[model] = {"made of": made_of, "dtype": model.inputs[0].dtype, "calls": 0}
    known["calls"] += 1
    if known["calls"] <= EAGER_CALLS:
        return keras.ops.convert_to_numpy(model(batch, training=False))
    one = len(batch) == 1
    if one not in known:
        known[one] = _compile(model, 1 if one else None)
    return keras.ops.convert_to_numpy(known[one](tf.constant(batch, known["dtype"])))


def _compile(model, size: int | None):
    """A function of a batch of `size` images, or of any number."""
    itself = weakref.ref(model)  # the function must not keep the model alive, whose entry in _CALLS it is
    shape = tf.TensorSpec((size, *model.input_shape[1:]), model.inputs[0].dtype)

    def function(jit_compile):
        traced = tf.function(lambda batch: itself()(batch, training=False), jit_compile=jit_compile)
        with contextlib.nullcontext() if jit_compile else exchanged(model):  # XLA fuses by itself
            concrete = traced.get_concrete_function(shape)
        variables = concrete.captured_inputs
        # a call of `concrete` itself binds its one argument anew each time, which takes 0.07 ms
        return lambda batch: concrete._call_flat([batch], variables)

    # depthwise convolutions and those in groups take several times as long by XLA
    grouped = any(getattr(r, "depth_multiplier", 0) or getattr(r, "groups", 1) > 1 for r in model._flatten_layers())
    if size == 1 and macs_if_known(model) < ONE_IMAGE_MACS and not grouped:
        try:
            compiled = function(True)
            compiled(tf.zeros(shape.shape, shape.dtype))
            return compiled
        except Exception:
            pass
    return function(False)
