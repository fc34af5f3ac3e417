"""cnn_zoo: convolutional networks for Keras 3, and what it takes to train, judge and understand them.

Importing this package imports neither TensorFlow nor Keras; the first call that needs them does, quietly.
"""

__version__ = "0.1.0"

_MODULES = {  # public name -> the module that defines it
    "Augment": "data.augment",
    "Data": "data.pipeline",
    "ModelCard": "cards",
    "Recipe": "recipes",
    "Run": "runs",
    "ZooError": "core.errors",
    "build_model": "build",
    "check": "teaching.claims",
    "claim": "teaching.claims",
    "evaluate": "inference",
    "fast_layers": "nn.fast",
    "feature_extractor": "nn.inspection",
    "freeze": "weights.transfer",
    "interval": "core.intervals",
    "list_datasets": "data.sources",
    "list_models": "models.registry",
    "load_data": "data.pipeline",
    "load_run": "runs",
    "load_torch_weights": "weights.torch",
    "model_card": "cards",
    "over_seeds": "teaching.seeds",
    "predict": "inference",
    "register": "models.registry",
    "save_weights": "weights.files",
    "train": "training",
}
__all__ = sorted(_MODULES)
_NEED_NO_FRAMEWORK = set("Augment Recipe ZooError check claim interval list_datasets list_models register".split())


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    from .core.machine import quiet_import

    with quiet_import():
        if name not in _NEED_NO_FRAMEWORK:
            import keras
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})
