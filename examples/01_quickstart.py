"""Quickstart: from two raw tables to a served model, in under a minute. `make demo` runs this."""

# %%
# A real table that scikit-learn bundles: is a tumour malignant or benign? Nothing is prepared; `fit` ends by saying in
# five lines what it found.

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from automl_wf import WorkflowEstimator, load


def main() -> None:
    """Run the whole story."""
    model_on_a_real_table()
    rentals, price = mixed_table()
    model = model_on_a_mixed_frame(rentals, price)
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "model_package"
        export_and_verify(model, package, rentals)
        call_the_service(package, rentals.head(2))


def model_on_a_real_table() -> None:
    """Fit, look at the leaderboard, score on rows that were kept back."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    diagnosis = y.map({0: "malignant", 1: "benign"})
    X_train, X_test, y_train, y_test = train_test_split(X, diagnosis, stratify=diagnosis, random_state=0)

    model = WorkflowEstimator(time_budget=10, random_state=0).fit(X_train, y_train)

    print("\nLeaderboard:")
    print(model.leaderboard_[["model", "source", "score", "score_std", "weight", "fit_time_s"]].head().to_string())
    print(f"\nAccuracy on {len(X_test)} rows that were kept back: {model.score(X_test, y_test):.3f}")


# %%
# A frame as it comes out of a database: text, dates, flags, and gaps everywhere.


def mixed_table(n_rows: int = 1200) -> tuple[pd.DataFrame, pd.Series]:
    """Holiday flats: what a night costs, by town, date and size."""
    rng = np.random.default_rng(0)
    towns = {"Lisboa": 80.0, "København": 140.0, "Kraków": 60.0, "Zürich": 180.0}
    arrival = pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 365, n_rows), unit="D")
    rentals = pd.DataFrame(
        {
            "town": rng.choice(list(towns), n_rows),
            "arrival": arrival,
            "booked_on": (arrival - pd.to_timedelta(rng.integers(1, 120, n_rows), unit="D")).strftime("%d.%m.%Y"),
            "rooms": pd.array(rng.integers(1, 6, n_rows), dtype="Int64"),
            "square_metres": rng.normal(70.0, 20.0, n_rows).round(1),
            "has_balcony": rng.random(n_rows) < 0.5,
        }
    )
    is_summer = arrival.month.isin([6, 7, 8])
    is_weekend = arrival.day_of_week >= 4
    price = (
        rentals["town"].map(towns) * (1 + 0.4 * is_summer + 0.2 * is_weekend)
        + 12.0 * rentals["rooms"].astype(float)
        + 0.5 * rentals["square_metres"]
        + rng.normal(0.0, 8.0, n_rows)
    )
    for column in ("town", "rooms", "square_metres"):
        rentals.loc[rng.random(n_rows) < 0.05, column] = None
    return rentals, price.round(2).rename("price")


def model_on_a_mixed_frame(rentals: pd.DataFrame, price: pd.Series) -> WorkflowEstimator:
    """The same call; kinds of columns, calendar features and categories are found by `fit`."""
    print("\nA table with text, dates and gaps:")
    print(rentals.head(3).to_string())
    model = WorkflowEstimator(time_budget=10, random_state=0).fit(rentals, price)
    print("\nWhat matters (input columns):")
    importance = pd.Series(model.feature_importances_, index=model.feature_names_in_)
    print(importance.sort_values(ascending=False).round(3).to_string())
    return model


# %%
# One call writes a package: the ONNX graph from raw columns to predictions, a model card, a service, its tests. The
# tests were run before `export` returned; `verify` computes the card's figures again.


def export_and_verify(model: WorkflowEstimator, package: Path, rentals: pd.DataFrame) -> None:
    """Write, verify, and predict through ONNX."""
    print(f"\n{model.export(package)}")
    subprocess.run([sys.executable, "-m", "automl_wf.cli", "verify", str(package)], check=True)
    served = load(package)
    difference = np.abs(served.predict(rentals) - model.predict(rentals)).max()
    print(f"\nThe graph and predict differ by at most {difference:.1e} on {len(rentals)} rows.")


# %%
# The service needs onnxruntime, not automl_wf. It asks for an API key unless told otherwise.


def call_the_service(package: Path, rows: pd.DataFrame) -> None:
    """Start it on a free port, ask once, print the answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "MODEL_ALLOW_ANONYMOUS": "1", "MODEL_PORT": str(port)}
    service = subprocess.Popen(
        [sys.executable, "-m", "api"],
        cwd=package,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(f"{url}/readyz")
        body = f'{{"rows": {rows.to_json(orient="records", date_format="iso")}}}'.encode()
        request = urllib.request.Request(f"{url}/v1/predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            print(f"\nPOST {url}/v1/predict")
            print(json.dumps(json.load(response), indent=2))
    finally:
        service.terminate()
        service.wait(timeout=30)


def wait_until_ready(url: str, seconds: float = 30.0) -> None:
    """Ask until the service says that it is ready."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
