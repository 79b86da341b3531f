"""The manifests of an exported package against the schemas of Kubernetes itself, with its patch applied.

    benchmarks/peers.sh .peers kubernetes && python -m benchmarks.manifests [--package model_package]

Strict: an unknown field is an error. What is not part of Kubernetes' own schemas (kustomization.yaml, the
ServiceMonitor of the Prometheus operator) is named and left out. Exit status 1: a manifest was refused.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.services import export_example

FOREIGN = ("kustomize.config.k8s.io", "monitoring.coreos.com")


def main(arguments: list[str] | None = None) -> int:
    """Patch, validate; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--package", type=Path, help="an exported package; made if not given")
    parser.add_argument("--peers", type=Path, default=Path(".peers"))
    options = parser.parse_args(arguments)
    tool = options.peers / "kubernetes/bin"
    if not (tool / "kubernetes-validate").is_file():
        print(f"not run: {tool}/kubernetes-validate is not there (benchmarks/peers.sh {options.peers} kubernetes)")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        package = options.package or export_example(Path(scratch) / "model_package")
        made = {path: read(tool, path) for path in sorted((package / "deploy").iterdir())}
        patch = next(content for path, content in made.items() if path.suffix == ".json")
        n_checked, failed = 0, []
        for path, content in made.items():
            if content is patch:
                continue
            if content["apiVersion"].partition("/")[0] in FOREIGN:
                print(f"{path.name:<24} left out: {content['apiVersion']}")
                continue
            is_target = (content["kind"], content["metadata"]["name"]) == (patch["kind"], patch["metadata"]["name"])
            whole = Path(scratch, f"{path.stem}.json")
            whole.write_text(json.dumps(merged(content, patch) if is_target else content))
            done = subprocess.run(
                [tool / "kubernetes-validate", "--strict", whole], capture_output=True, text=True, check=False
            )
            n_checked += 1
            failed += [path.name] if done.returncode else []
            print(f"{path.name:<24} {' '.join((done.stdout + done.stderr).split())[-200:]}")
    print(f"{n_checked - len(failed)} of {n_checked} accepted")
    return int(bool(failed) or not n_checked)


def read(tool: Path, path: Path) -> Any:
    """One manifest; the environment of the validator knows YAML."""
    code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    return json.loads(subprocess.run([tool / "python", "-c", code, path], capture_output=True, check=True).stdout)


def merged(base: Any, patch: Any) -> Any:
    """A strategic merge as far as our patch needs it: lists of named things are merged by name."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {
            key: merged(base[key], patch[key]) if {key} <= base.keys() & patch.keys() else {**base, **patch}[key]
            for key in {**base, **patch}
        }
    if isinstance(base, list) and isinstance(patch, list):
        by_name = {item["name"]: item for item in patch}
        return [merged(item, by_name.get(item["name"], {})) for item in base]
    return patch


if __name__ == "__main__":
    raise SystemExit(main())
