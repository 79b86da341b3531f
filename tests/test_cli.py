"""The command as it is typed: exit status, what goes to which stream, and nothing loaded before it is needed."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import cli, load
from automl_wf.core.csv_file import CsvDialect
from automl_wf.core.frame import read_file
from automl_wf.deployment import batch
from automl_wf.estimator import WorkflowEstimator

QUICK = ("--n-iter", "2", "--time-budget", "0", "--preset", "fast", "--random-state", "0")
SLOW = ("onnx", "onnxruntime", "skl2onnx", "shap", "lightgbm", "xgboost", "catboost", "skopt", "fastapi", "matplotlib")


class Typed:
    """What came of a command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`run("verify", path)`, in this process."""

    def type_in(*words: object) -> Typed:
        monkeypatch.setattr(sys, "argv", ["automl-wf", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Typed(int(ended.value.code or 0), said.out, said.err)

    return type_in


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, mixed_table: tuple[pd.DataFrame, np.ndarray]) -> Path:
    """A CSV file of the mixed frame with its target, a row number and a group."""
    X, y = mixed_table
    path = tmp_path_factory.mktemp("table") / "table.csv"
    X.assign(answer=y, row=range(len(X)), household=np.arange(len(X)) // 4).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def exported(table: Path, mixed_table: tuple[pd.DataFrame, np.ndarray]) -> Path:
    """A package, fitted on the CSV file as the command does it."""
    frame = pd.read_csv(table)
    model = WorkflowEstimator(time_budget=None, n_iter=2, preset="fast", random_state=0, verbose=0, n_jobs=1)
    path = table.with_name("package")
    model.fit(frame.drop(columns=["answer", "row", "household"]), frame["answer"]).export(path)
    return path


def test_fit_prints_the_leaderboard_writes_the_package_and_keeps_the_run(run: Any, table: Path, tmp_path: Path) -> None:
    (tmp_path / "info.json").write_text('{"owner": "Ada", "licence": "MIT"}')
    typed = run("fit", table, "--target", "answer", "--drop", "row", "--drop", "household", *QUICK,
                "--export", tmp_path / "package", "--info", tmp_path / "info.json", "--log", tmp_path)  # fmt: skip
    assert typed.status == 0
    assert "rank" in typed.out
    assert "dummy" in typed.out
    assert "checklist:" in typed.out
    assert (tmp_path / "package" / "MANIFEST.json").is_file()
    assert "Ada" in (tmp_path / "package/docs/model_card.md").read_text(encoding="utf-8")
    (line,) = (tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["scoring"] == "roc_auc"
    assert "baseline: 0.5" in typed.err
    assert "model.export(" not in typed.err
    assert f"next: automl-wf verify {tmp_path / 'package'}" in typed.out


def test_fit_as_json_says_everything_on_stdout_alone(run: Any, table: Path) -> None:
    typed = run(
        "fit", table, "--target", "answer", "--group-column", "household", "--drop", "row", *QUICK, "--json", "-q"
    )
    assert (typed.status, typed.err) == (0, "")
    facts = json.loads(typed.out)
    assert facts["task"] == "binary"
    assert facts["scoring"] == "roc_auc"
    assert 0.5 < facts["best_score"] <= 1
    assert len(facts["leaderboard"]) == 2
    assert facts["package"] is None
    assert facts["mlflow_run"] is None


def test_fit_passes_its_options_on(run: Any, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def fit(self: WorkflowEstimator, X: pd.DataFrame, y: pd.Series, *, sample_weight: Any, groups: Any) -> None:
        seen.update(params=self.get_params(), columns=list(X.columns), y=y.name, groups=groups, weight=sample_weight)
        raise cli.InvalidInput("enough")

    monkeypatch.setattr(WorkflowEstimator, "fit", fit)
    typed = run("fit", table, "--target", "answer", "--group-column", "household", "--drop", "row", "--drop", "born",
                "--task", "classification", "--scoring", "neg_log_loss", "--time-budget", "0", "--n-iter", "7",
                "--preset", "interpretable", "--random-state", "3", "--weight-column", "count",
                "--estimators", "linear, lightgbm", "--checkpoint", "trials", "--quiet")  # fmt: skip
    assert (typed.status, typed.err) == (2, "Error: enough\n")
    expected = {"task": "classification", "scoring": "neg_log_loss", "time_budget": None, "n_iter": 7,
                "preset": "interpretable", "random_state": 3, "verbose": 0,
                "estimators": ["linear", "lightgbm"], "checkpoint": Path("trials")}  # fmt: skip
    assert {name: seen["params"][name] for name in expected} == expected
    assert seen["weight"].tolist() == pd.read_csv(table)["count"].tolist()
    assert seen["columns"] == ["amount", "city", "plan", "is_member", "visits", "joined", "seen"]
    assert seen["y"] == "answer"
    assert seen["groups"].tolist() == (np.arange(160) // 4).tolist()


def test_what_would_fail_after_the_fit_fails_before_it(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkflowEstimator, "fit", lambda *args, **kwargs: pytest.fail("it was fitted"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    (tmp_path / "info.json").write_text('{"owenr": "Ada"}')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    free, fit = tmp_path / "out", ["fit", table, "--target", "answer", "-q"]
    for words, message in (
        (["--export", tmp_path / "taken"], "is in the way"),
        (["--export", free, "--info", tmp_path / "info.json"], "Got 'owenr' instead"),
        (["--export", free, "--info", tmp_path / "list.json"], "must hold a JSON object"),
        (["--export", free, "--info", tmp_path / "broken.json"], "cannot be read as JSON"),
        (["--export", free, "--info", tmp_path / "none.json"], "No such file"),
        (["--info", tmp_path / "info.json"], "Say with --export"),
        (["--time-budget", "-1"], "--time-budget"),
        (["--log", tmp_path / "nowhere" / "runs.jsonl"], "nowhere does not exist"),
    ):
        typed = run(*fit, *words)
        assert (typed.status, typed.out) == (2, "")
        assert message in typed.err


def test_rows_without_a_target_are_left_out_if_asked(run: Any, table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table)
    frame.loc[[0, 5], "answer"] = None
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    typed = run("fit", tmp_path / "gaps.csv", "--target", "answer", "--drop", "row", "--drop-missing-target", *QUICK,
                "--export", tmp_path / "package", "--json", "-q")  # fmt: skip
    assert typed.status == 0
    metadata = json.loads((tmp_path / "package/model/metadata.json").read_text(encoding="utf-8"))
    assert metadata["problem"]["fingerprint"]["n_rows"] == len(frame) - 2
    assert run("verify", tmp_path / "package", "--data", tmp_path / "gaps.csv").status == 0


def test_parquet_is_read_too(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "z": rng.normal(size=60)})
    frame.assign(y=frame["x"] + 0.1 * frame["z"]).to_parquet(tmp_path / "table.parquet")
    typed = run("fit", tmp_path / "table.parquet", "--target", "y", *QUICK, "--json", "--quiet")
    assert json.loads(typed.out)["task"] == "regression"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.csv", "--target", "y"], "There is no file nothing.csv"),
        (["{table}", "--target", "anser"], "has no column 'anser'. Did you mean 'answer'? There are 'amount', 'count'"),
        (["{table}", "--target", "answer", "--drop", "x", "--group-column", "g"], "has no column 'g', 'x'"),
        (["{table}", "--target", "answer", "--scoring", "acuracy"], "acuracy"),
        (["{package}", "--target", "answer"], "cannot be read as CSV: it is a folder"),
        (["{semicolons}", "--target", "answer"], "has one column only, 'x;answer'. Read it with --sep ';'."),
        (["{european}", "--target", "answer"], "Read it with --sep ';' --decimal ','."),
        (["{tabs}", "--target", "answer"], r"Read it with --sep '\t'."),
        (["{latin}", "--target", "answer"], "it is not UTF-8 (byte 0xe9). Read it with --encoding cp1252, or save it"),
        (["{wide}", "--target", "answer"], "it is not UTF-8 (byte 0xff). Read it with --encoding utf-16, or save it"),
        (["{doubled}", "--target", "answer"], "has more than one column 'x'. Give each a name of its own."),
        (["{ragged}", "--target", "answer"], "has more cells in its rows than names in its header."),
        (["{constant}", "--target", "answer"], "y holds one class only (1): there is nothing to tell apart."),
        (["{constant}", "--target", "answer"], "If y is a quantity, set task='regression' (--task regression)."),
        (["{prices}", "--target", "answer"], "these cells do not: 'call us' in row 30. Correct them"),
        (["{table}", "--target", "answer", "--sep", ";;"], "The separator must be one character"),
        (["{table}", "--target", "answer", "--decimal", ","], "',' cannot separate cells and mark decimals"),
        (["{table}", "--target", "answer", "--encoding", "utf-9"], "must be one that Python knows"),
        (["{headed}", "--target", "answer"], "headed.csv has no rows."),
        (["{gaps}", "--target", "answer"], "lacks the target 'answer' in 1 of 2 rows. Fill them in, or leave them out"),
        (["{table}", "--target", "answer", "--estimators", "lightgm"], "Did you mean 'lightgbm'?"),
        (["{broken}", "--target", "answer"], "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_2(
    run: Any, table: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    files = {
        "broken.parquet": b"PAR1 not really PAR1",
        "semicolons.csv": b"x;answer\n1;yes\n",
        "european.csv": b"x;answer\n1.234,5;yes\n",
        "tabs.tsv": b"x\tanswer\n1\tyes\n",
        "wide.csv": "x,answer\n1,yes\n".encode("utf-16"),
        "doubled.csv": b"x,x,answer\n1,2,yes\n",
        "ragged.csv": b"x,answer\n1,2,yes\n",
        "constant.csv": b"x,answer\n1,1\n2,1\n",
        "prices.csv": "\n".join(["x,answer", *(f'{i},"${i + 1},000.00"' for i in range(30)), "1,call us\n"]).encode(),
        "latin.csv": b"x,answer\n1,\xe9\n",
        "headed.csv": b"x,answer\n",
        "gaps.csv": b"x,answer\n1,yes\n2,\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    places = {name.partition(".")[0]: tmp_path / name for name in files}
    typed = run("fit", *(w.format(table=table, package=tmp_path, **places) for w in words), "--quiet")
    assert (typed.status, typed.out) == (2, "")
    assert typed.err.startswith("Error: ")
    assert message in typed.err
    assert "Traceback" not in typed.err


def test_verify_groups_its_checks_by_class(run: Any, exported: Path, table: Path) -> None:
    typed = run("verify", exported)
    assert (typed.status, typed.err) == (0, "")
    assert typed.out.startswith(f"{exported}: nothing is wrong\n")
    assert [line.split(" (")[0] for line in typed.out.splitlines() if line and line[0] != " "][2:] == list(cli._KINDS)
    assert "needs the training data" in typed.out
    with_data = run("verify", exported, "--data", table)
    assert with_data.status == 0
    assert "needs the training data" not in with_data.out
    assert "training_data.fingerprint" not in typed.out
    assert "training_data.fingerprint" in run("verify", exported, "--verbose").out


def test_verify_of_a_spoilt_package_is_status_1(run: Any, exported: Path, tmp_path: Path) -> None:
    package = Path(shutil.copytree(exported, tmp_path / "package"))
    (package / "README.md").write_text("other words")
    typed = run("verify", package)
    assert typed.status == 1
    assert "something is wrong" in typed.out
    assert "  wrong: README.md: has other bytes" in typed.out
    as_json = run("verify", package, "--json")
    facts = json.loads(as_json.out)
    assert (as_json.status, facts["ok"]) == (1, False)
    assert [c["subject"] for c in facts["checks"] if c["status"] == "wrong"] == ["README.md"]


def test_verify_of_what_is_no_package_is_status_2(run: Any, exported: Path, table: Path, tmp_path: Path) -> None:
    for words in (["verify", tmp_path / "nothing"], ["verify", exported, "--data", exported / "README.md"]):
        typed = run(*words)
        assert (typed.status, typed.out) == (2, "")
        assert typed.err.startswith("Error: ")


def _european(table: Path, path: Path) -> Path:
    """The same table with semicolons, decimal commas and another encoding."""
    frame = read_file(table)
    frame["city"] = frame["city"].map(lambda city: city if isinstance(city, float) or city.isascii() else "Köln")
    frame.to_csv(path, index=False, sep=";", decimal=",", encoding="cp1252")
    return path


def test_a_message_about_the_dialect_can_be_followed_from_fit_to_compare(run: Any, table: Path, tmp_path: Path) -> None:
    file, package, out = _european(table, tmp_path / "e.csv"), tmp_path / "package", tmp_path / "out.csv"
    fit = ["fit", file, "--target", "answer", "--drop", "row", "--drop", "household", *QUICK, "-q", "--export", package]
    assert "Read it with --encoding cp1252" in run(*fit).err
    assert "Read it with --sep ';' --decimal ','." in run(*fit, "--encoding", "cp1252").err
    dialect = ["--sep", ";", "--decimal", ",", "--encoding", "cp1252"]
    assert run(*fit, *dialect).status == 0
    assert load(package).schema.columns[0].kind == "numeric"
    assert run("verify", package, "--data", file, *dialect).status == 0
    compared = run("compare", package, package, "--data", file, *dialect)
    assert "undecided" in compared.out
    assert run("predict", package, file, *dialect, "--output", out).status == 0
    predicted = pd.read_csv(out, sep=";", decimal=",", encoding="cp1252")
    X = read_file(file, CsvDialect(";", ",", "cp1252"))
    np.testing.assert_array_equal(predicted.iloc[:, 1:], load(package).predict_proba(X))


def test_predict_answers_row_by_row_whatever_the_chunks(
    run: Any, exported: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, frame = load(exported), read_file(table)
    typed = run("predict", exported, table)
    assert typed.status == 0
    assert typed.err == "Columns that the model does not take: 'answer', 'row', 'household'.\n"
    whole = pd.read_csv(io.StringIO(typed.out))
    assert whole.columns.tolist() == ["label", *(f"probability_{c}" for c in model.classes_)]
    assert whole["label"].tolist() == model.predict(frame).tolist()
    np.testing.assert_array_equal(whole.iloc[:, 1:], model.predict_proba(frame))
    parts: list[int] = []
    read = batch.read_table

    def read_and_count(part: pd.DataFrame, *args: Any, **kwargs: Any) -> Any:
        parts.append(len(part))
        return read(part, *args, **kwargs)

    monkeypatch.setattr(batch, "read_table", read_and_count)
    monkeypatch.setattr(batch, "CHUNK", 64)
    found = batch.predict_file(model, table, tmp_path / "parts.csv", intervals=True, chunk=64)
    assert parts == [64, 64, 32]
    assert (found.n_rows, found.ignored) == (160, ("answer", "row", "household"))
    in_parts = pd.read_csv(tmp_path / "parts.csv")
    pd.testing.assert_frame_equal(in_parts[whole.columns], whole)
    in_set = model.predict_interval(frame)
    expected = [[c for c, is_in in zip(model.classes_, row, strict=True) if is_in] for row in in_set]
    assert in_parts["set"].map(json.loads).tolist() == expected


def test_predict_from_parquet_to_parquet(run: Any, exported: Path, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    read_file(table).to_parquet(tmp_path / "rows.parquet")
    typed = run("predict", exported, tmp_path / "rows.parquet", "--output", tmp_path / "out.parquet", "--json", "-q")
    assert (typed.status, typed.err) == (0, "")
    facts = json.loads(typed.out)
    assert (facts["n_rows"], facts["output"]) == (160, str(tmp_path / "out.parquet"))
    predicted = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(predicted.iloc[:, 1:], load(exported).predict_proba(read_file(table)))


def test_predict_notices_unknown_categories_and_names_what_is_wrong(
    run: Any, exported: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, out = read_file(table), tmp_path / "out.csv"
    frame.assign(city="Atlantis").to_csv(tmp_path / "new.csv", index=False)
    typed = run("predict", exported, tmp_path / "new.csv", "--output", out)
    assert "Categories of 'city' that were not seen in fit: 'atlantis'. They are treated as unknown." in typed.err
    assert typed.err.endswith(f"160 predictions in {out}\n")
    out.unlink()
    frame.drop(columns=["city", "amount"]).to_csv(tmp_path / "narrow.csv", index=False)
    amounts = frame["amount"].astype(object)
    amounts[130] = "a lot"
    frame.assign(amount=amounts).to_csv(tmp_path / "odd.csv", index=False)
    frame.iloc[:0].to_csv(tmp_path / "none.csv", index=False)
    for words, message in (
        ([tmp_path / "narrow.csv"], "that the model takes: 'amount', 'city'. There are"),
        ([tmp_path / "odd.csv"], "Column 'amount' is numeric: expected a number in row 130, got 'a lot'."),
        ([tmp_path / "none.csv"], "has no rows."),
        ([tmp_path / "nothing.csv"], "There is no file"),
        ([_european(table, tmp_path / "e.csv"), "--encoding", "cp1252"], "Read it with --sep ';' --decimal ','."),
    ):
        typed = run("predict", exported, *words, "--output", out)
        assert (typed.status, typed.out) == (2, "")
        assert message in typed.err
        assert not out.exists()
    assert list(tmp_path.glob(".out*")) == []
    assert "would be overwritten" in run("predict", exported, table, "--output", table).err
    assert "Say with --output" in run("predict", exported, table, "--json").err
    assert "is no package" in run("predict", tmp_path, table).err


def test_a_target_of_written_numbers_is_predicted_as_numbers(run: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.integers(40, 200, size=80), "noise": rng.normal(size=80)})
    price = frame["size"] * 1000 + 0.5
    dollars, package = tmp_path / "dollars.csv", tmp_path / "package"
    frame.assign(price=price.map("${:,.2f}".format)).to_csv(dollars, index=False)
    typed = run("fit", dollars, "--target", "price", *QUICK, "--export", package)
    assert typed.status == 0
    assert "The target 'price' is text that spells numbers, and read so: '$" in typed.err
    assert "For classes: --task classification." in typed.err
    predicted = load(package).predict(read_file(dollars))
    assert np.corrcoef(predicted, price)[0, 1] > 0.9
    assert run("verify", package, "--data", dollars).status == 0
    assert "needs the target" not in run("verify", package, "--data", dollars).out
    assert "regression" not in run("compare", package, package, "--data", dollars).err
    as_classes = frame.assign(price=np.where(price > price.median(), "$2.00", "$1.00"))
    as_classes.to_csv(tmp_path / "two.csv", index=False)
    facts = json.loads(run("fit", tmp_path / "two.csv", "--target", "price", *QUICK, "--json", "-q").out)
    assert facts["task"] == "binary"
    named = run("fit", tmp_path / "two.csv", "--target", "price", "--task", "regression", *QUICK, "--json", "-q")
    assert json.loads(named.out)["task"] == "regression"
    typed = run("verify", package, "--data", tmp_path / "two.csv")
    assert typed.status == cli.WRONG
    frame.head(9).assign(price=1).to_csv(tmp_path / "short.csv", index=False)
    assert "`automl-wf compare OLD NEW --data FILE`" in run("verify", package, "--data", tmp_path / "short.csv").err


SERVED = """
import json, sys
from pathlib import Path
from api.model import Model
model, rows = Model(Path.cwd()), json.load(sys.stdin)
cells = {c["name"]: [row[c["name"]] for row in rows] for c in model.columns}
print(json.dumps([row["prediction"] for row in model.predict(cells)]))
"""


def test_words_for_missing_mean_the_same_in_a_file_in_a_frame_and_in_the_service(run: Any, tmp_path: Path) -> None:
    words = ["NA", "N/A", "nan", "null", "none", "-", "None", "#N/A"]
    rng = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "garage": [["None", "NA", "Attached", ""][i % 4] for i in range(n)],
            "area": [words[i // 10 % 8] if i % 10 == 0 else str(i) for i in range(n)],
            "sold": [words[i // 10 % 8] if i % 10 == 1 else f"2024-01-{i % 28 + 1:02d}" for i in range(n)],
            "heated": [words[i // 10 % 8] if i % 10 == 2 else "yes" if i % 3 else "no" for i in range(n)],
        }
    )
    frame["y"] = 3.0 * (frame["garage"] == "None") - 3.0 * (frame["garage"] == "NA") + rng.normal(size=n)
    file, package = tmp_path / "table.csv", tmp_path / "package"
    frame.to_csv(file, index=False)
    fitted = run("fit", file, "--target", "y", *QUICK, "--estimators", "extra_trees", "-q", "--export", package)
    assert fitted.status == 0
    model = load(package)
    kinds = {c.name: (c.kind.value, c.n_missing) for c in model.schema.columns}
    assert kinds["garage"] == ("categorical", 30)
    assert kinds["area"] == ("numeric", 12)
    assert kinds["sold"] == ("datetime", 12)
    assert kinds["heated"] == ("boolean", 12)
    assert sorted(model.schema.levels[0]) == ["attached", "na", "none"]
    by_text = model.predict(frame.replace("", None))
    np.testing.assert_array_equal(model.predict(read_file(file)), by_text)
    typed = run("predict", package, file, "-q")
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(typed.out))["prediction"], by_text)
    rows = frame.drop(columns="y").replace("", None).to_dict("records")
    served = subprocess.run(
        [sys.executable, "-c", SERVED], cwd=package, input=json.dumps(rows), capture_output=True, text=True, check=True
    )
    np.testing.assert_allclose(json.loads(served.stdout), by_text, rtol=0, atol=1e-12)
    assert len(set(by_text[:3].round(6))) == 3


def test_serve_needs_a_package(run: Any, tmp_path: Path) -> None:
    typed = run("serve", tmp_path)
    assert typed.status == 2
    assert "api/__main__.py is missing" in typed.err


def test_serve_starts_the_service_and_ends_with_it(exported: Path, root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment = {k: v for k, v in environment.items() if not k.startswith("MODEL_")}
    command = [sys.executable, "-m", "automl_wf.cli", "serve", str(exported), "--port", str(port)]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: The service has no API key: set MODEL_API_KEY_HASHES or")
    assert "--allow-anonymous" in refused.stderr
    with socket.create_server(("127.0.0.1", port)):
        taken = subprocess.run(
            [*command, "--allow-anonymous"], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert taken.returncode == 2
    assert f"Error: 127.0.0.1:{port} cannot be listened on" in taken.stderr
    service = subprocess.Popen([*command, "--allow-anonymous"], env=environment, stderr=subprocess.DEVNULL)
    try:
        assert _ask(f"http://127.0.0.1:{port}/healthz", service) == 200
        service.send_signal(signal.SIGTERM)
        # The signal reaches the service itself, which ends as it is told to
        assert service.wait(timeout=30) in (0, -signal.SIGTERM)
    finally:
        service.kill()
        service.wait()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)


def _ask(url: str, service: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the service did not answer")


def test_version_and_help(run: Any) -> None:
    assert run("--version").out.startswith("automl-wf ")
    typed = run("--help")
    assert typed.status == 0
    for word in ("fit", "verify", "predict", "serve", "--install-completion", "Exit status: 0"):
        assert word in typed.out
    for command in ("fit", "verify", "predict", "serve", "compare", "promote", "rollback"):
        assert "--json" in run(command, "--help").out
    for command in ("fit", "verify", "predict", "compare"):
        assert {"--sep", "--decimal", "--encoding"} <= set(run(command, "--help").out.split())
    assert run("mend").status == 2


def test_the_module_is_the_command() -> None:
    said = subprocess.run([sys.executable, "-m", "automl_wf", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: automl-wf" in said.stdout


def test_nothing_slow_is_loaded_before_it_is_needed() -> None:
    code = f"import sys, automl_wf.cli; print([m for m in {SLOW} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_from_one_version_to_the_next_and_back(run: Any, exported: Path, table: Path, tmp_path: Path) -> None:
    registry, decision = tmp_path / "registry", tmp_path / "promotion.json"
    assert run("promote", exported, "--registry", registry).out == "v1 serves, nothing before (first version)\n"
    compared = run("compare", registry, exported, "--data", table, "--out", decision)
    assert compared.status == cli.WRONG
    assert compared.out.startswith("undecided: ROC AUC")
    refused = run("promote", exported, "--registry", registry, "--decision", decision)
    assert refused.status == cli.UNUSABLE
    assert "is the same package as v1, which serves already: there is nothing to promote" in refused.err
    assert f"rows_are_new: they are the rows that {registry}" in compared.out
    for version, before in (("v2", "v1"), ("v3", "v2")):
        forced = run("promote", exported, "--registry", registry, "--force", "a test")
        assert forced.out == f"{version} serves, {before} before (forced: a test; the same package as {before})\n"
    went_back = run("rollback", "--registry", registry)
    assert went_back.out == "v2 serves, v3 was serving (asked for); a further rollback would serve v1\n"
    went_back = json.loads(run("rollback", "--registry", registry, "--reason", "slow", "--json").out)
    assert (went_back["version"], went_back["before"], went_back["reason"]) == ("v1", "v2", "slow")
    again = json.loads(run("promote", exported, "--registry", registry, "--force", "a test", "--json").out)
    assert (again["action"], again["before"]) == ("promote", "v1")
    assert run("rollback", "--registry", registry).out == (
        f"v1 serves, {again['version']} was serving (asked for); there is no version to go back to further\n"
    )
    assert run("rollback", "--registry", registry).status == cli.UNUSABLE
    tried = run("promote", exported, "--registry", registry, "--shadow")
    assert tried.out == "v5 is on trial beside v1 (shadow; answers nobody)\n"
    assert run("promote", exported, "--registry", registry, "--shadow", "--share", 0.1).status == cli.UNUSABLE
    split = run("promote", exported, "--registry", registry, "--share", 0.1, "--decision", decision)
    assert split.out.startswith("v6 is on trial beside v1 (split; ROC AUC")
    assert run("rollback", "--registry", registry).out == "v1 serves alone, v6 is no longer on trial (asked for)\n"
    as_json = run("compare", registry, exported, "--data", table, "--json")
    assert json.loads(as_json.out)["verdict"] == "undecided"
