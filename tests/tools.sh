#!/usr/bin/env bash
# What tests need beside Python packages: promtool, out of Debian's package of Prometheus; no service is installed.
#
#   tests/tools.sh [FOLDER]        FOLDER on PATH that receives promtool, .venv/bin by default
#
# Needs apt-get and dpkg-deb, and the right to update the list of packages. Tests whose tool is absent are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${1:-.venv/bin}
if command -v promtool > /dev/null || [ -x "$folder/promtool" ]; then
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
apt-get update -qq
# apt fetches as a user of its own, who must be able to write here.
chmod 777 "$scratch"
(cd "$scratch" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb unpacked)
mkdir -p "$folder"
install -m 755 "$scratch/unpacked/usr/bin/promtool" "$folder/promtool"
