"""Clients and server: the model of all rows, from sums that do not grow with the rows and hold nothing rare."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpydoc.validate import validate
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, root_mean_squared_error

import automl_wf.federated
from automl_wf.exceptions import InvalidInput, InvalidParameter, InvalidTarget
from automl_wf.federated import FederatedClient, FederatedServer, Message, simulate

Frames = Callable[..., pd.DataFrame]
FEW = {"boosting": {"n_rounds": 5, "max_depth": 3, "learning_rate": 0.3}, "linear": {}}


def _clients(X: Any, y: Any, rows: Any) -> list[FederatedClient]:
    take = X.iloc if isinstance(X, pd.DataFrame) else X
    return [FederatedClient(take[part], np.asarray(y)[part], seed=i) for i, part in enumerate(rows)]


def _dealt(n_rows: int, n_clients: int = 3) -> list[np.ndarray]:
    return [np.arange(i, n_rows, n_clients) for i in range(n_clients)]


def _features(model: Any, X: Any) -> np.ndarray:
    view, _ = model.pipeline.blend.members[0].parts[0]
    return view.transform(model.pipeline.read(X))


def test_ridge_is_that_of_all_rows_however_they_are_divided() -> None:
    rng = np.random.default_rng(0)
    X = rng.lognormal(size=(300, 4))
    y = X @ [3.0, 0.0, -1.0, 0.5] + 1e4 + rng.normal(size=300)
    models = [
        simulate(_clients(X, y, rows), "regression", model="linear", params={"alpha": 2.0}).model
        for rows in (_dealt(300), np.array_split(np.argsort(y), 3))
    ]
    for model in models:
        Z = _features(model, X)
        expected = Ridge(alpha=2.0).fit(Z, y)
        np.testing.assert_allclose(model.predict(X), expected.predict(Z), rtol=1e-10)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_logistic_regression_is_that_of_all_rows(n_classes: int) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 3))
    y = np.digitize(X[:, 0] + 0.7 * rng.normal(size=400), np.quantile(X[:, 0], np.arange(1, n_classes) / n_classes))
    by_class = [np.flatnonzero(y % 2 == 0), np.flatnonzero(y % 2 == 1)]
    model = simulate(_clients(X, y, by_class), "classification", model="linear", params={"C": 0.5}).model
    Z = _features(model, X)
    expected = LogisticRegression(C=0.5, tol=1e-10, max_iter=5_000).fit(Z, y).predict_proba(Z)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)


def test_scaled_numbers_have_the_mean_and_deviation_of_all_rows() -> None:
    X = pd.DataFrame({"income": np.random.default_rng(2).lognormal(10, 2, 600), "age": np.arange(600.0)})
    X.loc[::7, "age"] = np.nan
    model = simulate(_clients(X, X["income"].rank(), _dealt(600)), "regression", model="linear").model
    Z = _features(model, X)[:, :2]
    np.testing.assert_allclose(Z.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(Z.std(axis=0), 1.0, atol=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("model", ["boosting", "linear"])
def test_mixed_columns_end_in_one_exact_graph(
    task: str, model: str, mixed_frame: Frames, target_of: Callable[..., np.ndarray]
) -> None:
    X = mixed_frame(240, 0)
    y = target_of(X, task)
    family = "regression" if task == "regression" else "classification"
    result = simulate(_clients(X, y, _dealt(240)), family, model=model, params=FEW[model])
    fitted = result.model
    if task == "regression":
        assert root_mean_squared_error(y, fitted.predict(X)) < 0.8 * np.std(y)
    else:
        assert set(fitted.predict(X)) <= set(fitted.classes_.tolist())
        chance = pd.Series(y).value_counts(normalize=True)
        assert log_loss(y, fitted.predict_proba(X)) < 0.9 * -(chance * np.log(chance)).sum()
    for reference in (None, X):
        graph, parity = fitted.to_onnx(reference)
        assert parity.is_exact
        assert {i.name for i in graph.graph.input} == {c.input_name for c in fitted.schema_.used}


def test_boosting_is_as_good_as_on_all_rows_even_where_clients_differ() -> None:
    rng = np.random.default_rng(3)
    places = rng.integers(0, 25, 1_600)
    X = pd.DataFrame({"x": rng.normal(size=1_600), "z": rng.normal(size=1_600), "place": [f"p{p:02}" for p in places]})
    effect = rng.normal(size=25)
    y = np.sin(2 * X["x"]) + X["z"] * (X["x"] > 0) + effect[places] + 0.3 * rng.normal(size=1_600)
    train, test = np.arange(1_000), np.arange(1_000, 1_600)
    by_target = np.array_split(train[np.argsort(y[train])], 3)
    # Levels that few rows of a client have would be left out of the sums: here all are told.
    settings: dict[str, Any] = {"params": {"n_rounds": 40, "validation": 0.0}, "min_rows": 1}
    models = [simulate(_clients(X, y, rows), "regression", **settings).model for rows in ([train], by_target)]
    errors = [root_mean_squared_error(y[test], model.predict(X.iloc[test])) for model in models]
    assert errors[1] < 1.03 * errors[0]
    assert errors[0] < 0.5 * np.std(y[test])


@pytest.mark.parametrize("model", ["boosting", "linear"])
def test_messages_do_not_grow_with_the_rows(
    model: str, mixed_frame: Frames, target_of: Callable[..., np.ndarray]
) -> None:
    X = mixed_frame(330, 0)
    y = target_of(X, "multiclass")
    sizes = []
    for copies in (1, 2):
        rows = [np.tile(part, copies) for part in (np.arange(0, 167), np.arange(167, 330))]
        params = {"n_rounds": 2} if model == "boosting" else {}
        traffic = simulate(
            _clients(X, y, rows), "classification", model=model, params=params, min_rows=10 * copies
        ).traffic
        for part in rows:
            sides = {len(part), len(part) - round(0.1 * len(part))}
            assert not any(sides & set(shape) for shape in traffic["shape"])
        messages = traffic[traffic["array"] == ""]
        sizes.append(messages.groupby(["kind", "client", "is_reply"])["n_bytes"].agg(["min", "max"]))
    pd.testing.assert_frame_equal(sizes[0], sizes[1])


def test_nothing_rare_is_told(mixed_frame: Frames, target_of: Callable[..., np.ndarray]) -> None:
    X = mixed_frame(200, 0)
    X["city"] = X["city"].where(X.index != 7, "the only castle")
    X.loc[7, "amount"] = 987_654.0
    clients = _clients(X, target_of(X, "binary"), _dealt(200))
    server = FederatedServer("classification", params={"n_rounds": 2})
    while (request := server.request) is not None:
        replies = [client.answer(request) for client in clients]
        for reply in replies:
            for array in reply.arrays.values():
                assert "the only castle" not in array.ravel().tolist()
                if array.dtype.kind == "f":
                    assert 987_654.0 not in array
        server.aggregate(replies)
    assert server.model.schema_.columns[0].maximum < 900_000


def test_each_client_in_a_process_of_its_own() -> None:
    X = np.random.default_rng(4).normal(size=(60, 2))
    y = X[:, 0] - X[:, 1]
    makers = [partial(FederatedClient, X[part], y[part]) for part in _dealt(60, 2)]
    result = simulate(makers, "regression", model="linear", processes=True)
    here = simulate([maker() for maker in makers], "regression", model="linear")
    np.testing.assert_array_equal(result.model.predict(X), here.model.predict(X))
    pd.testing.assert_frame_equal(result.traffic, here.traffic)
    assert result.n_exchanges == 5


def test_a_client_that_fails_tells_its_error_but_not_its_rows() -> None:
    X = pd.DataFrame({"a": ["secret", "1.5", "2.5"] * 5})
    makers = [partial(FederatedClient, X, np.arange(15.0))]
    with pytest.raises(InvalidInput, match="Client 0 failed with InvalidCell") as caught:
        simulate(makers, "regression", processes=True, schema={"a": "numeric"})
    assert "secret" not in str(caught.value)


def test_classes_may_be_divided_between_clients() -> None:
    X = np.random.default_rng(5).normal(size=(90, 2))
    y = np.where(X[:, 0] > 0, "yes", "no")
    rows = [np.flatnonzero(y == "yes"), np.flatnonzero(y == "no")]
    model = simulate(_clients(X, y, rows), "classification", model="linear").model
    assert model.classes_.tolist() == ["no", "yes"]
    assert (model.predict(X) == y).mean() > 0.9


def test_what_cannot_be_fitted_is_an_error() -> None:
    X = np.arange(40.0).reshape(20, 2)
    with pytest.raises(InvalidTarget, match="nothing to learn"):
        simulate([FederatedClient(X, np.ones(20))], "regression", model="linear")
    with pytest.raises(InvalidTarget, match="as different types"):
        simulate([FederatedClient(X, y) for y in (["a", "b"] * 10, [0, 1] * 10)], "classification")
    with pytest.raises(InvalidInput, match="at least one client"):
        simulate([], "regression")
    with pytest.raises(InvalidInput, match="functions that make clients"):
        simulate([FederatedClient(X, X[:, 0])], "regression", processes=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "ranking"}, "'task'"),
        ({"task": "regression", "model": "mlp"}, "'model'"),
        ({"task": "regression", "min_rows": 0}, "'min_rows'"),
        ({"task": "regression", "params": {"depth": 3}}, "'depth'"),
        ({"task": "regression", "params": {"max_depth": 0}}, "'max_depth' of boosted trees"),
        ({"task": "regression", "params": {"l2": "much"}}, "'l2' of boosted trees"),
        ({"task": "regression", "schema": {"a": "money"}}, "'money'"),
    ],
)
def test_parameters_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        FederatedServer(**given)


def test_the_order_of_questions_is_kept() -> None:
    client = FederatedClient(np.eye(6), np.arange(6.0))
    server = FederatedServer("regression", model="linear")
    with pytest.raises(InvalidInput, match="There is no model yet"):
        _ = server.model
    with pytest.raises(InvalidInput, match="Got 0"):
        server.aggregate([])
    with pytest.raises(InvalidInput, match="among them to"):
        server.aggregate([Message("gram")])
    with pytest.raises(InvalidInput, match="Expected a question"):
        client.answer(Message("rows"))
    with pytest.raises(InvalidInput, match="'columns' to be asked before 'marginals'"):
        client.answer(Message("marginals"))
    server.aggregate([client.answer(server.request), client.answer(server.request)])
    with pytest.raises(InvalidInput, match="Expected 2 answers"):
        server.aggregate([client.answer(server.request)])


def test_a_graph_is_written(tmp_path: Any) -> None:
    import onnx

    X = np.random.default_rng(6).normal(size=(50, 2))
    model = simulate([FederatedClient(X, X[:, 0])], "regression", model="linear").model
    assert onnx.load(model.save(tmp_path / "model.onnx")).graph.output[0].name == "prediction"


def _public() -> list[str]:
    names = []
    for name in automl_wf.federated.__all__:
        thing = getattr(automl_wf.federated, name)
        names.append(f"automl_wf.federated.{name}")
        if isinstance(thing, type):
            names += [
                f"automl_wf.federated.{name}.{method}"
                for method, value in vars(thing).items()
                if not method.startswith("_") and callable(value)
            ]
    return names


@pytest.mark.parametrize("name", _public())
def test_docstrings_are_numpydoc(name: str) -> None:
    assert [e for e in validate(name)["errors"] if e[0] in ("GL08", "SS01", "PR01", "PR02", "RT01", "SA02")] == []
