"""Put on PYTHONPATH while a package is inspected: whatever serves must not need what trained.

Python imports this module by itself at its start, in the tests and in every process they start.
"""

import importlib.abc
import sys

REFUSED = {"automl_wf", "catboost", "cloudpickle", "dill", "joblib", "lightgbm", "skl2onnx", "sklearn", "xgboost"}


class Refusal(importlib.abc.MetaPathFinder):
    """Finds nothing, and says so loudly for what is refused."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ImportError(f"{name} was imported, but the service must do without it")


def no_pickle(event, arguments):
    """Refuse to open a pickle: looking up the class it names is the first thing that opening one does."""
    if event == "pickle.find_class":
        raise RuntimeError("a pickle was opened, but the service must do without")


sys.meta_path.insert(0, Refusal())
sys.addaudithook(no_pickle)
