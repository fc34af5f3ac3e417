"""Settings for the tests, and for the notebooks under `pytest --nbval`."""

from cnn_zoo.core.machine import ask_for_kernels


def pytest_configure(config):
    ask_for_kernels()  # many tests import Keras before they import cnn_zoo
    # run the notebooks in the interpreter that runs pytest, whatever a kernel on this machine is called
    if hasattr(config.option, "nbval_current_env"):
        config.option.nbval_current_env = True


def pytest_collection_modifyitems(items):
    # nbval gives a cell five seconds of silence after its last output; a training on a busy machine needs more
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = 300
