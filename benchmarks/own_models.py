"""Estimators of one's own in the search: PyTorch by skorch, Keras by scikeras, and scikit-learn's own.

Each takes part beside a linear model, is blended with it where that pays, and is exported: there is no graph, the card
says why, and model.pkl alone is written, which is opened again and must predict the same. Libraries that are not
installed are left out, and said to be.

    python -m benchmarks.own_models [NAME ...]
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from automl_wf import WorkflowClassifier, load

N_FEATURES = 12


class TorchNet(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A small network in PyTorch, fitted by skorch; seeded, since torch has a seed of its own."""

    def __init__(self, max_epochs: int = 30, random_state: int | None = None) -> None:
        self.max_epochs, self.random_state = max_epochs, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> TorchNet:
        """Fit on doubles, which torch is given as floats."""
        import torch
        from skorch import NeuralNetClassifier

        torch.manual_seed(0 if self.random_state is None else self.random_state)
        layers = (torch.nn.Linear(X.shape[1], 32), torch.nn.ReLU(), torch.nn.Linear(32, len(np.unique(y))))
        self.net_ = NeuralNetClassifier(
            torch.nn.Sequential(*layers),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=0.01,
            max_epochs=self.max_epochs,
            batch_size=64,
            verbose=0,
            train_split=None,
        ).fit(X.astype(np.float32), y)
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of shape (n_rows, n_classes)."""
        logits = self.net_.predict_proba(X.astype(np.float32))
        return np.asarray(logits, dtype=np.float64)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The most probable class."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


def keras_net(meta: dict[str, Any]) -> Any:
    """A small network in Keras, of the size that scikeras found."""
    import keras

    layers = [keras.layers.Input((meta["n_features_in_"],)), keras.layers.Dense(32, "relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")])
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(0.01))
    return model


def _keras() -> Any:
    from scikeras.wrappers import KerasClassifier

    to_floats = FunctionTransformer(np.asarray, kw_args={"dtype": np.float32})
    return make_pipeline(to_floats, KerasClassifier(keras_net, epochs=20, batch_size=64, verbose=0, random_state=0))


#: Name, package that it needs, and how it is made.
OWN: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    ("torch_net", "skorch", TorchNet),
    ("keras_net", "scikeras", _keras),
    ("hist_gradient_boosting", "sklearn", lambda: HistGradientBoostingClassifier(early_stopping=False, max_iter=60)),
    ("svm", "sklearn", lambda: CalibratedClassifierCV(SVC(), ensemble=False)),
)


def try_own(name: str, estimator: Any, n_rows: int = 800) -> dict[str, Any]:
    """Fit beside a linear model, export, and open what was exported.

    Parameters
    ----------
    name : str
        What it is called in the search.
    estimator : estimator
        With `fit` and `predict_proba`.
    n_rows : int, default=800
        Rows of a table that a straight line cannot learn; half of them are kept back.

    Returns
    -------
    dict
        Plain JSON types.
    """
    X, y = make_classification(n_rows, N_FEATURES, n_informative=6, n_clusters_per_class=4, random_state=0)
    half = n_rows // 2
    model = WorkflowClassifier(
        estimators=["logistic_regression", (name, estimator)], time_budget=None, n_iter=3, random_state=0, verbose=0
    ).fit(X[:half], y[:half])
    row = model.leaderboard_.set_index("model").loc[[name]].iloc[0]
    with tempfile.TemporaryDirectory() as scratch:
        package = model.export(Path(scratch) / "package")
        opened = load(package.path, trained=True)
        facts = json.loads((package.path / "model/metadata.json").read_text(encoding="utf-8"))
        return {
            "model": name,
            "status": row["status"],
            "reason": row["reason"],
            "score": row["score"],
            "fit_time_s": row["fit_time_s"],
            "members": {m["model"]: round(m["weight"], 2) for m in model.best_params_["members"]},
            "accuracy_on_kept_back_rows": model.score(X[half:], y[half:]),
            "graph": facts["graph"]["exists"],
            "why_no_graph": package.reason,
            "card_says_so": "no exact ONNX graph" in (package.path / "docs/model_card.md").read_text(encoding="utf-8"),
            "has_service": (package.path / "api/app.py").exists(),
            "pickle_predicts_the_same": bool(
                np.allclose(opened.predict_proba(X[half:]), model.predict_proba(X[half:]), rtol=0, atol=1e-6)
            ),
        }


def main() -> None:
    """One line of JSON per estimator, or per one that was named."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, needed, make in (own for own in OWN if own[0] in (sys.argv[1:] or [own[0]])):
        if importlib.util.find_spec(needed) is None:
            print(json.dumps({"model": name, "status": f"not run: {needed} is not installed"}))
        else:
            print(json.dumps(try_own(name, make()), default=str), flush=True)


if __name__ == "__main__":
    main()
