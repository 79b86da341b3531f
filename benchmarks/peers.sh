#!/usr/bin/env bash
# An environment of its own for each system that the benchmarks run beside ours: peers pin what others cannot have.
#
#   benchmarks/peers.sh [FOLDER] [NAME ...]      FOLDER is .peers
#
# NAME is any of: ours boosters flaml autogluon mljar (for `benchmarks.compare`, the default), mlflow bentoml (for
# `benchmarks.serving`), schemathesis (for `benchmarks.fuzzing`), kubernetes (for `benchmarks.manifests`).
# Nothing is installed twice: an environment that is whole is left alone. Needs Python 3.11 or newer on PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${1:-.peers}
shift || true
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(ours boosters flaml autogluon mljar)

# What reads the tables and scores the predictions, beside the system itself.
tables=(pyarrow scikit-learn pandas)

packages_of() {
  case $1 in
    ours) printf '%s\n' --editable . "${tables[@]}" ;;
    boosters) printf '%s\n' --editable '.[boosters]' "${tables[@]}" ;;
    flaml) printf '%s\n' 'flaml[automl]==2.7.*' "${tables[@]}" ;;
    autogluon) printf '%s\n' 'autogluon.tabular[lightgbm,catboost,xgboost]==1.6.*' "${tables[@]}" ;;
    mljar) printf '%s\n' 'mljar-supervised==1.3.*' "${tables[@]}" ;;
    mlflow) printf '%s\n' 'mlflow==3.*' 'onnx>=1.21' 'onnxruntime>=1.32' ;;
    bentoml) printf '%s\n' 'bentoml==1.4.*' 'onnxruntime>=1.32' ;;
    schemathesis) printf '%s\n' 'schemathesis==4.*' ;;
    kubernetes) printf '%s\n' 'kubernetes-validate' 'pyyaml' ;;
    *) echo "unknown system: $1" >&2; return 1 ;;
  esac
}

for name in "${names[@]}"; do
  environment=$folder/$name
  if [ -f "$environment/.whole" ]; then
    echo "$name: there already"
    continue
  fi
  echo "$name: installing into $environment"
  mapfile -t packages < <(packages_of "$name")
  python3 -m venv --clear "$environment"
  "$environment/bin/python" -m pip --disable-pip-version-check -qq install "${packages[@]}"
  touch "$environment/.whole"
done
