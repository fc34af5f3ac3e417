"""What recipes use and Keras does not have: a loss, a schedule of the learning rate, an optimizer for convolutions."""

import keras
from keras import ops


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels, of whose probability a part is spread over all classes (arXiv:1512.00567)."""

    def __init__(self, label_smoothing: float, from_logits: bool):
        super().__init__(name="smoothed_crossentropy")
        self.label_smoothing, self.from_logits = label_smoothing, from_logits

    def call(self, y_true, y_pred):
        labels = ops.one_hot(ops.reshape(y_true, (-1,)), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=self.from_logits, label_smoothing=self.label_smoothing
        )


class PixelCrossentropy(keras.losses.Loss):
    """Cross-entropy of masks in which pixels of class 0, the background, have another weight than 1."""

    def __init__(self, background_weight: float, from_logits: bool, ignore_class: int):
        super().__init__(name="pixel_crossentropy")
        self.background_weight, self.from_logits, self.ignore_class = background_weight, from_logits, ignore_class

    def call(self, y_true, y_pred):
        # pixels in one row: PyTorch's gradient takes no maps with channels last
        y_true, y_pred = ops.reshape(y_true, (-1,)), ops.reshape(y_pred, (-1, y_pred.shape[-1]))
        options = {"from_logits": self.from_logits, "ignore_class": self.ignore_class}
        loss = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, **options)
        return loss * ops.where(ops.equal(y_true, 0), self.background_weight, 1.0)


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises in a line from a tenth of its peak to the peak, in the fraction `warmup` of all steps,
    and falls in a line to zero.
    """

    def __init__(self, peak: float, steps: int, warmup: float = 0.0):
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        done = ops.cast(step, "float32") / self.steps
        falling = (1 - done) / (1 - self.warmup)
        rising = 0.1 + 0.9 * done / self.warmup if self.warmup else falling
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self):  # which TensorBoard writes down
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


class Muon(keras.optimizers.Muon):
    """keras.optimizers.Muon for the kernels of convolutions too, each a matrix of (height * width * channels, filters).

    Muon (kellerjordan.github.io/posts/muon, arXiv:2502.16982) replaces the momentum of a matrix by the nearest matrix
    whose singular values are all one, so that directions in which gradients are small are learned as fast as others.
    Keras applies it to matrices alone. All else, depthwise kernels and the last layer included, is trained with Adam.

    It finds those matrices in `iteration_dtype`: "bfloat16" is as good, as both sources have it, and where a processor
    multiplies such numbers several times as fast.
    """

    def __init__(self, *args, iteration_dtype: str = "float32", **kwargs):
        super().__init__(*args, **kwargs)
        self.iteration_dtype = iteration_dtype

    def _should_use_adamw(self, variable):
        shape = variable.shape
        if len(shape) != 4:
            return super()._should_use_adamw(variable)
        return shape[-1] == 1 or any(word in variable.path for word in self.exclude_layers)

    def zeropower_via_newtonschulz5(self, x, steps: int):
        matrix = ops.cast(ops.reshape(x, (-1, x.shape[-1])), self.iteration_dtype)
        return ops.cast(ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape), x.dtype)

    def lr_adjust(self, x):
        return ops.reshape(super().lr_adjust(ops.reshape(x, (-1, x.shape[-1]))), x.shape)
