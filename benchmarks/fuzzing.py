"""Schemathesis against the service of an exported package: all checks, by its own description in /openapi.json.

    benchmarks/peers.sh .peers schemathesis
    python -m benchmarks.fuzzing [--package model_package] [--cases 2000] [--seed 0]

Cases are counted by the service itself. It is run twice: with a key, and without one, when whatever needs a key must
answer 401 and nothing else. Exit status 1: a status of 500 or more, a status that is not documented, a failed check
that is not among those expected, fewer cases than asked for, or anything but 401 to a stranger.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.services import KEY, Service, counted_requests, export_example, serving

#: Checks that fail by design, and why.
EXPECTED = {
    "ST202 Schema-valid request rejected": "no schema says all: text that is no date, lists of unequal length",
    "ST201 Schema-violating request accepted": "cells are read as `fit` reads them: numbers as text, booleans as words",
}


def main(arguments: list[str] | None = None) -> int:
    """Run it with a key and without; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--package", type=Path, help="an exported package; made if not given")
    parser.add_argument("--cases", type=int, default=2000, help="answers that the service must have given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", type=Path, default=Path(".peers"))
    options = parser.parse_args(arguments)
    tool = (options.peers / "schemathesis/bin/schemathesis").resolve()
    if not tool.is_file():
        print(f"not run: {tool} is not there (benchmarks/peers.sh {options.peers} schemathesis)")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        package = (options.package or export_example(folder / "model_package")).resolve()
        with serving(package, folder / "log.jsonl") as service:
            is_sound = attack(tool, service, KEY, folder / "known", options.cases, options.seed)
        # /metrics is open unless it is closed
        with serving(package, folder / "log2.jsonl", MODEL_METRICS_NEED_KEY="1") as service:
            is_closed = attack(tool, service, None, folder / "stranger", options.cases // 10, options.seed)
    return int(not (is_sound and is_closed))


def attack(tool: Path, service: Service, key: str | None, reports: Path, n_cases: int, seed: int) -> bool:
    """Run schemathesis until there were enough cases; print what came, and return whether it was sound."""
    # A stranger may not read the description either: it is handed over as a file.
    description = service.call("GET", "/openapi.json")[1]
    documented = json.loads(description)["paths"]
    reports.mkdir(parents=True)
    schema = reports / "openapi.json"
    schema.write_bytes(description)
    failures: Counter[str] = Counter()
    for turn in range(20):
        failures += run(tool, service, key, schema, reports / str(turn), n_cases, seed + turn)
        counts = Counter(counted_requests(service))
        counts -= Counter({("GET", "/openapi.json", "200"): 1, ("GET", "/metrics", "200"): turn})
        if sum(counts.values()) >= n_cases:
            break
    total = sum(counts.values())
    statuses = Counter({status: 0 for _, _, status in counts})
    for (_, _, status), n in counts.items():
        statuses[status] += n
    print(f"{'with a key' if key else 'without'}: {total:,} cases, statuses {dict(sorted(statuses.items()))}")
    undocumented = [
        f"{method} {path} {status}"
        for (method, path, status) in counts
        if (said := documented.get(path, {}).get(method.lower())) is not None and status not in said["responses"]
    ]
    n_broken = sum(n for status, n in statuses.items() if status.startswith("5"))
    print(f"    statuses of 500 or more: {n_broken}; not documented: {undocumented or 'none'}")
    if key is None:
        seen = {status for (m, path, status) in counts if needs_key(documented, path, m)}
        print(f"    what needs a key answered {sorted(seen)}")
        return not n_broken and not undocumented and seen == {"401"} and total >= n_cases
    for check, n in sorted(failures.items()):
        print(f"    {check}: {n}" + (f" (expected: {EXPECTED[check]})" if check in EXPECTED else ""))
    return not n_broken and not undocumented and set(failures) <= set(EXPECTED) and total >= n_cases


def needs_key(documented: dict[str, Any], path: str, method: str) -> bool:
    """Whether an operation says that it asks for a key."""
    operation = documented.get(path, {}).get(method.lower(), {})
    return "401" in operation.get("responses", {})


def run(
    tool: Path, service: Service, key: str | None, schema: Path, reports: Path, n_cases: int, seed: int
) -> Counter[str]:
    """One run of schemathesis; failures by check."""
    command = [
        tool, "run", schema, "--url", f"http://127.0.0.1:{service.port}", "--checks", "all", "--continue-on-failure",
        "--max-examples", str(n_cases), "--no-shrink", "--seed", str(seed), "--generation-database", "none",
        "--suppress-health-check", "all",
        "--no-color", "--report", "junit", "--report-dir", reports,
    ]  # fmt: skip
    if key is not None:
        command += ["--header", f"X-API-Key: {key}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=schema.parent)
    found: Counter[str] = Counter()
    is_summary = False
    for line in done.stdout.splitlines():
        is_summary = line.startswith("Failures:") or (is_summary and bool(line.strip()))
        name, _, n = line.strip().lstrip("❌ ").rpartition(": ")
        if is_summary and n.isdecimal():
            found[name] += int(n)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
