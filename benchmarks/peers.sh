#!/usr/bin/env bash
# An environment of its own for each system that `benchmarks.compare` runs: peers pin what others cannot have.
#
#   benchmarks/peers.sh [FOLDER] [NAME ...]      FOLDER is .peers, NAME any of: ours boosters flaml autogluon mljar
#
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
    ours) printf '%s\n' --editable . ;;
    boosters) printf '%s\n' --editable '.[boosters]' ;;
    flaml) printf '%s\n' 'flaml[automl]==2.7.*' ;;
    autogluon) printf '%s\n' 'autogluon.tabular[lightgbm,catboost,xgboost]==1.6.*' ;;
    mljar) printf '%s\n' 'mljar-supervised==1.3.*' ;;
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
  "$environment/bin/python" -m pip --disable-pip-version-check -qq install "${packages[@]}" "${tables[@]}"
  touch "$environment/.whole"
done
