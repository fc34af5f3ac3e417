"""cnn_zoo: convolutional networks for Keras 3, and what it takes to train, judge and understand them.

Importing this package imports neither TensorFlow nor Keras; the first call that needs them does, quietly.
"""

__version__ = "0.1.0"

_MODULES = {  # public name -> the module that defines it
    "Augment": "recipes",
    "Data": "datasets",
    "ModelCard": "cards",
    "Recipe": "recipes",
    "Run": "runs",
    "ZooError": "errors",
    "build_model": "registry",
    "check": "teaching",
    "claim": "teaching",
    "evaluate": "inference",
    "feature_extractor": "explain",
    "freeze": "transfer",
    "interval": "intervals",
    "list_datasets": "sources",
    "list_models": "registry",
    "load_data": "datasets",
    "load_model": "weights",
    "load_run": "runs",
    "load_torch_weights": "torch_weights",
    "model_card": "cards",
    "over_seeds": "teaching",
    "predict": "inference",
    "register": "registry",
    "save_weights": "weights",
    "train": "training",
}
__all__ = sorted(_MODULES)
_NEED_NO_FRAMEWORK = set("Augment Recipe ZooError check claim interval list_datasets list_models register".split())


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    from .quiet import quiet_import

    with quiet_import():
        if name not in _NEED_NO_FRAMEWORK:
            import keras  # noqa: F401 - now, so that a script's own `import keras` after this one is quiet too
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})
