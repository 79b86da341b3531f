"""An exported package's rules in the real Prometheus: what fires on sound data, on shifted data, without a service?

    tests/tools.sh && python -m benchmarks.operations [--package model_package] [--speed 60]

A service is started, Prometheus scrapes it with the package's own rules, and requests of known rows are sent: rows as
in training, then rows with one column a standard deviation up, then the service is stopped. Time is compressed: in
generated copies every duration of the rules is divided by `--speed`, and so are the slots of the window that the
service counts drift in; a minute stands for an hour. `--speed 1` takes the files as they are, and hours.

Exit status 1: something fired on sound rows, drift did not fire within its `for`, or a stopped service went
unnoticed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.services import Service, as_rows, export_example, free_port, make_table, serving

SHIFT = 1.0
ROWS_PER_REQUEST = 20
#: What a shift of one column may set off beside the alert of that column itself.
FOLLOWS = {"ModelFeatureDrift", "ModelFeatureShift", "ModelPredictionDrift", "ModelOutliers"}
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Firing:
    """An alert: its name, the column if it speaks of one, when its condition began to hold and when it fired."""

    alert: str
    feature: str
    began_s: float
    fired_s: float


def main(arguments: list[str] | None = None) -> int:
    """Play the three acts; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--package", type=Path, help="an exported package of the example; made if not given")
    parser.add_argument("--speed", type=float, default=60.0, help="how many times faster than real time")
    options = parser.parse_args(arguments)
    tool = shutil.which("prometheus")
    if tool is None:
        print("not run: prometheus is not on PATH (tests/tools.sh fetches it)")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        package = options.package or export_example(folder / "model_package")
        fast = compressed(package, folder / "fast", options.speed)
        log = folder / "log.jsonl"
        with serving(fast, log) as service, prometheus(tool, fast, service.port, folder, options.speed) as address:
            return play(service, address, fast / "monitoring/alerts.yaml", options.speed)


def play(service: Service, address: str, rules: Path, speed: float) -> int:
    """Send the streams, stop the service, watch the alerts; return the exit status."""
    waits = {
        alert: seconds_of(text)
        for alert, text in re.findall(r"- alert: (\w+)\n.*?\bfor: (\w+)", rules.read_text(), re.S)
    }
    hour = 3600 / speed
    sound = watch(address, 1.5 * hour, sender(service, 0.0, speed))
    report("an hour and a half of rows as in training", sound, speed)
    shifted = watch(address, 2.5 * hour, sender(service, SHIFT, speed), until="ModelFeatureDrift")
    report(f"rows with one column {SHIFT:g} standard deviation up", shifted, speed)
    service.stop()
    gone = watch(address, hour, None, until="ModelServiceDown")
    report("the service is stopped", gone, speed)

    slack = 3 * 30 / speed + 1.0
    drift = [f for f in shifted if (f.alert, f.feature) == ("ModelFeatureDrift", "amount")]
    down = [f for f in gone if f.alert == "ModelServiceDown"]
    verdicts = {
        "nothing fires on sound rows": not sound,
        "drift of the shifted column fires": bool(drift),
        "within its `for`": all(f.fired_s - f.began_s <= waits[f.alert] + slack for f in drift + down),
        "nothing but what follows from the shift fires": {f.alert for f in shifted} <= FOLLOWS,
        "only the shifted column is named": {f.feature for f in shifted} <= {"amount", ""},
        "a stopped service is noticed": bool(down) and down[0].fired_s <= waits["ModelServiceDown"] + slack,
    }
    for what, is_so in verdicts.items():
        print(f"{'yes' if is_so else 'NO ':<4}{what}")
    return int(not all(verdicts.values()))


def report(act: str, fired: list[Firing], speed: float) -> None:
    """Print what fired, in minutes of uncompressed time since the act began."""
    print(f"{act}:")
    for f in fired:
        began, after = f.began_s * speed / 60, f.fired_s * speed / 60
        print(f"    {f.alert:<24}{f.feature:<10} condition holds at {began:6.1f} min, fires at {after:6.1f} min")
    print("" if fired else "    nothing fires", flush=True)


def compressed(package: Path, target: Path, speed: float) -> Path:
    """A copy of the package in which every duration is `speed` times shorter."""
    shutil.copytree(package, target)
    rules = target / "monitoring/alerts.yaml"
    rules.write_text(shorten(rules.read_text(), speed))
    window = target / "api/drift.py"
    text = window.read_text()
    slot = "slot_s: float = 300.0"
    if slot not in text:
        raise SystemExit(f"the window of drift was expected to say {slot!r}")
    window.write_text(text.replace(slot, f"slot_s: float = {300.0 / speed!r}"))
    return target


def shorten(rules: str, speed: float) -> str:
    """Rules with every `for`, `keep_firing_for` and range divided by `speed`."""

    def shorter(match: re.Match[str]) -> str:
        return f"{match[1]}{max(1, round(1000 * seconds_of(match[2]) / speed))}ms{match[3]}"

    return re.sub(r"(\bfor: |keep_firing_for: |\[)(\d+[smh])(\n|\])", shorter, rules)


def seconds_of(duration: str) -> float:
    """Seconds of a duration as Prometheus writes it."""
    if duration.endswith("ms"):
        return int(duration[:-2]) / 1000
    return float(int(duration[:-1]) * _UNITS[duration[-1]])


@contextmanager
def prometheus(tool: str, package: Path, port: int, folder: Path, speed: float) -> Iterator[str]:
    """Prometheus with the rules of the package, and its address."""
    config = folder / "prometheus.json"
    own = (package / "monitoring/prometheus.yml").read_text()
    scrape, evaluate = (seconds_of(re.findall(rf"{name}_interval: (\w+)", own)[0]) for name in ("scrape", "evaluation"))
    # A second at least: scrapes must not time out because the machine is busy with something else
    interval = f"{round(1000 * max(scrape / speed, 1.0))}ms"
    settings = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": f"{round(1000 * evaluate / speed)}ms",
        },
        "rule_files": [str(package / "monitoring/alerts.yaml")],
        "scrape_configs": [{"job_name": "model", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
    }
    config.write_text(json.dumps(settings))
    address = f"127.0.0.1:{free_port()}"
    command = [
        tool,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    process = subprocess.Popen([*command, "--log.level=error"])
    try:
        wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(address: str) -> None:
    """Return once Prometheus has read the metrics of the service."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://{address}/api/v1/query?query=up", timeout=5) as answer:
                if any(sample["value"][1] == "1" for sample in json.load(answer)["data"]["result"]):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("Prometheus did not get to read the metrics of the service")


@dataclass(frozen=True)
class Stream:
    """Requests sent at a steady pace by a thread, until it is told to stop."""

    thread: threading.Thread
    is_over: threading.Event
    refused: list[str]


def sender(service: Service, shift: float, speed: float) -> Stream:
    """Start to send rows: about 3,000 in what stands for five minutes."""
    is_over = threading.Event()
    refused: list[str] = []
    pause = 300 / speed / (3000 / ROWS_PER_REQUEST)

    def send() -> None:
        seed = 1000
        while not is_over.wait(pause):
            seed += 1
            table = make_table(ROWS_PER_REQUEST, seed, shift)
            status, body = service.call("POST", "/v1/predict", {"rows": as_rows(table)})
            if status != 200:
                refused.append(f"{status}: {body[:300]!r}")

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return Stream(thread, is_over, refused)


def watch(address: str, at_most_s: float, stream: Stream | None, until: str | None = None) -> list[Firing]:
    """What fires within a time, in order; ends a little after `until` fires."""
    start, end = time.time(), time.time() + at_most_s
    known = {key for key, _ in firing(address)}
    found: dict[tuple[str, str], Firing] = {}
    while time.time() < end:
        time.sleep(0.1)
        now = time.time()
        for key, began in firing(address):
            if key not in known and key not in found:
                found[key] = Firing(*key, began - start, now - start)
                if key[0] == until:
                    end = min(end, now + at_most_s / 10)
    if stream is not None:
        stream.is_over.set()
        stream.thread.join()
        if stream.refused:
            raise SystemExit(f"{len(stream.refused)} sound requests were refused, the first with {stream.refused[0]}")
    return sorted(found.values(), key=lambda f: f.fired_s)


def firing(address: str) -> list[tuple[tuple[str, str], float]]:
    """Alerts that fire now, with the second at which their condition began to hold."""
    with urllib.request.urlopen(f"http://{address}/api/v1/alerts", timeout=10) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    return [
        ((a["labels"]["alertname"], a["labels"].get("feature", "")), datetime.fromisoformat(a["activeAt"]).timestamp())
        for a in alerts
        if a["state"] == "firing"
    ]


if __name__ == "__main__":
    raise SystemExit(main())
