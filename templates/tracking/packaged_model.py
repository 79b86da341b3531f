"""An MLflow model over the graph of a package: it needs onnxruntime, numpy and pandas, not automl_wf."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


def open_package(root: Path) -> Any:
    """The model of a package, by the package's own code; several packages may be open in one process."""
    others = _take_api()
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module("api.model").Model(root)
    finally:
        sys.path.remove(str(root))
        _take_api()
        sys.modules.update(others)


def _take_api() -> dict[str, Any]:
    names = [name for name in sys.modules if name.partition(".")[0] == "api"]
    return {name: sys.modules.pop(name) for name in names}


class PackagedModel(PythonModel):
    """Raw rows in, predictions out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the package that was logged with the model."""
        self.model = open_package(Path(context.artifacts["package"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row per row of `model_input`: `label` and a column per class, or `prediction`."""
        columns = {c["name"]: model_input[c["name"]].astype(object).tolist() for c in self.model.columns}
        rows = self.model.predict(columns)
        flat = [{"label": row["label"], **row["probabilities"]} if "label" in row else row for row in rows]
        return pd.DataFrame(flat, index=model_input.index)


set_model(PackagedModel())
