"""Run in a process of its own inside a package: loads the graph, predicts, and prints what that took as JSON.

Printed are seconds for one row (median and 95th percentile of 200 calls), seconds for 1,000 rows (best of 5), and the
peak memory of the process in bytes.
"""

import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime


def load_coerce():
    spec = importlib.util.spec_from_file_location("package_coerce", Path("api/coerce.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.coerce


def feed_of(rows, config, coerce):
    cells = [coerce([row[c["name"]] for row in rows], c["edge"], c["cell_format"]) for c in config["columns"]]
    if config["tensor"]:
        return {config["tensor"]: np.column_stack(cells)}
    return {c["input"]: values.reshape(-1, 1) for c, values in zip(config["columns"], cells, strict=True)}


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_memory():
    # The kernel's own figure for this program: getrusage would count what the process that started it had, too
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main():
    config = json.loads(Path("model/config.json").read_text(encoding="utf-8"))
    rows = json.loads(Path("tests/test_data/samples.json").read_text(encoding="utf-8"))["rows"]
    coerce = load_coerce()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession("model/model.onnx", options, providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    outputs = list(config["outputs"].values())

    def predict(batch):
        feed = feed_of(batch, config, coerce)
        session.run(outputs, {name: values for name, values in feed.items() if name in wanted})

    thousand = [rows[i % len(rows)] for i in range(1000)]
    predict(thousand)
    single = sorted(seconds(lambda i=i: predict([rows[i % len(rows)]])) for i in range(200))
    batch = min(seconds(lambda: predict(thousand)) for _ in range(5))
    latency = {"one_row_p50_s": single[100], "one_row_p95_s": single[190], "thousand_rows_s": batch}
    sys.stdout.write(json.dumps({"latency": latency, "memory": {"peak_bytes": peak_memory()}}))


if __name__ == "__main__":
    main()
