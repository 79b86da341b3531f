"""The Dockerfile of an exported package, step by step without Docker: does what it builds serve and pass its tests?

    python -m benchmarks.image [--package model_package]

Its instructions are carried out in a temporary folder: COPY as .dockerignore allows, RUN pip in a fresh environment,
CMD with its ENV, HEALTHCHECK until it succeeds. Then a request is answered, and the package's own tests are run in
that same environment with nothing but pytest added. Not carried out: the base image, users. Exit status 1: a step
failed.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.services import KEY, Service, export_example, free_port


@dataclass
class Image:
    """What the instructions so far have made."""

    root: Path
    python: Path
    environment: dict[str, str] = field(default_factory=dict)
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Build, start, ask, test; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--package", type=Path, help="an exported package; made if not given")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        package = (options.package or export_example(folder / "model_package")).resolve()
        image = build(package, folder)
        is_served = serve(image, package, folder)
        is_tested = test(image, package, folder)
    return int(not (is_served and is_tested))


def build(package: Path, folder: Path) -> Image:
    """Carry out the instructions of the Dockerfile."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    image = Image(folder / "image", folder / "venv/bin/python")
    image.root.mkdir()
    text = re.sub(r"\\\n\s*", "", (package / "Dockerfile").read_text())
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "ENV":
            image.environment |= dict(part.split("=", 1) for part in shlex.split(rest))
        elif word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy(package, source, image.root, target)
        elif word == "RUN":
            run(rest, image)
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition("CMD ")[2])
        elif word == "CMD":
            image.command = json.loads(rest)
        elif word and not word.startswith("#"):
            print(f"{word:<12} not carried out: {rest}")
    return image


def copy(package: Path, source: str, root: Path, target: str) -> None:
    """COPY one source, as far as .dockerignore lets it through."""
    rules = [line for line in (package / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    is_kept = False
    for rule in rules:
        if rule.startswith("!"):
            is_kept = is_kept or source == rule[1:] or source.startswith(f"{rule[1:]}/")
        elif fnmatch.fnmatch(source, rule.replace("**", "*")):
            is_kept = False
    if not is_kept:
        raise SystemExit(f"COPY {source}: .dockerignore keeps it out")
    place = root / target
    if (package / source).is_dir():
        shutil.copytree(package / source, place)
    else:
        place = place / Path(source).name if target.endswith("/") or target == "." else place
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package / source, place)
    print(f"COPY         {source}")


def run(command: str, image: Image) -> None:
    """RUN: pip in the fresh environment; users are not made."""
    for part in command.split("&&"):
        words = shlex.split(part)
        if words[0] == "pip":
            subprocess.run(
                [image.python, "-m", "pip", "--disable-pip-version-check", "-q", *words[1:]], cwd=image.root, check=True
            )
            print(f"RUN          {part.strip()}")
        else:
            print(f"RUN          not carried out: {part.strip()}")


def serve(image: Image, package: Path, folder: Path) -> bool:
    """CMD, until HEALTHCHECK succeeds; then one request."""
    port = free_port()
    settings = {
        **bare_environment(),
        **image.environment,
        "MODEL_HOST": "127.0.0.1",
        "MODEL_PORT": str(port),
        "MODEL_API_KEY_HASHES": hashlib.sha256(KEY.encode()).hexdigest(),
    }
    log = folder / "log.jsonl"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [image.python, *image.command[1:]], cwd=image.root, env=settings, stdout=stream, stderr=stream
        )
    try:
        end = time.monotonic() + 60
        while not (is_healthy := succeeds([image.python, *image.health[1:]], image.root, settings)):
            if time.monotonic() > end or process.poll() is not None:
                break
            time.sleep(0.2)
        print(f"HEALTHCHECK  {'healthy' if is_healthy else 'never healthy: ' + log.read_text()[-1000:]}")
        row = json.loads((package / "model/config.json").read_text())["self_test"]["row"]
        status, body = (
            Service(port, process, log).call("POST", "/v1/predict", {"rows": [row]}) if is_healthy else (0, b"")
        )
        print(f"a request is answered {status} {body[:100]!r}")
        return is_healthy and status == 200
    finally:
        process.terminate()
        process.wait(timeout=60)


def test(image: Image, package: Path, folder: Path) -> bool:
    """The package's own tests in the environment of the image and pytest."""
    subprocess.run([image.python, "-m", "pip", "--disable-pip-version-check", "-q", "install", "pytest"], check=True)
    whole = Path(shutil.copytree(package, folder / "whole"))
    done = subprocess.run(
        [image.python, "-m", "pytest", "-q"],
        cwd=whole,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    print("\n".join(done.stdout.splitlines()[-3:]))
    return done.returncode == 0


def succeeds(command: list[str | Path], folder: Path, environment: Mapping[str, str]) -> bool:
    """Whether a command ends with 0."""
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode == 0


def bare_environment() -> dict[str, str]:
    """This process's environment without what would lead into another Python or a deployed service."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MODEL_", "PYTHON", "VIRTUAL_ENV", "PYTEST_"))}


if __name__ == "__main__":
    raise SystemExit(main())
