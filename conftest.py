"""Settings for the tests, and for the notebooks under `pytest --nbval`."""

import os

from cnn_zoo.quiet import ask_for_kernels


def pytest_configure(config):
    ask_for_kernels()  # many tests import Keras before they import cnn_zoo
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) > 1:  # one thread each, or they wait for each other's
        for threads in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(threads, "1")
    # run the notebooks in the interpreter that runs pytest, whatever a kernel on this machine is called
    if hasattr(config.option, "nbval_current_env"):
        config.option.nbval_current_env = True


def pytest_collection_modifyitems(items):
    # nbval gives a cell five seconds of silence after its last output; a training on a busy machine needs more
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = 300
