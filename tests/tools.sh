#!/usr/bin/env bash
# What tests and benchmarks need beside Python packages: prometheus and promtool, out of Debian's package (no service is
# installed), and, where packages may be installed, chromium.
#
#   tests/tools.sh [FOLDER]        FOLDER on PATH that receives both, .venv/bin by default
#
# Needs apt-get and dpkg-deb, and the right to update the list of packages. Tests whose tool is absent are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v chromium > /dev/null && [ "$(id -u)" -eq 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium > /dev/null
fi

folder=${1:-.venv/bin}
is_there() { command -v "$1" > /dev/null || [ -x "$folder/$1" ]; }
if is_there promtool && is_there prometheus; then
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
apt-get update -qq
# apt fetches as a user of its own, who must be able to write here.
chmod 777 "$scratch"
(cd "$scratch" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb unpacked)
mkdir -p "$folder"
install -m 755 "$scratch/unpacked/usr/bin/promtool" "$scratch/unpacked/usr/bin/prometheus" "$folder/"
