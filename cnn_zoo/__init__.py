"""cnn_zoo: convolutional networks for Keras 3, and what it takes to train, judge and understand them.

Importing this package imports neither TensorFlow nor Keras; the first call that needs them does, quietly.
"""

__version__ = "0.1.0"

_PUBLIC = {  # module -> the public names that it defines
    "build": "build_model",
    "cards": "ModelCard model_card",
    "core.errors": "ZooError",
    "core.intervals": "interval",
    "data.augment": "Augment",
    "data.pipeline": "Data load_data",
    "data.source": "Source",
    "data.sources": "add_source list_datasets",
    "folds": "cross_validate",
    "inference": "evaluate predict",
    "models.registry": "list_models register",
    "nn.fast": "fast_layers",
    "nn.inspection": "feature_extractor",
    "recipes": "Recipe",
    "runs": "Run load_run",
    "tasks.base": "Task add_task",
    "teaching.claims": "check claim",
    "teaching.seeds": "over_seeds",
    "training": "train",
    "weights.files": "save_weights",
    "weights.torch": "load_torch_weights",
    "weights.transfer": "freeze",
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = sorted(_MODULES)
_NEED_NO_FRAMEWORK = ("core", "data.augment", "data.source", "models", "recipes", "tasks", "teaching.claims")


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    from .core.machine import quiet_import

    with quiet_import():
        if not _MODULES[name].startswith(_NEED_NO_FRAMEWORK):
            import keras
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})
