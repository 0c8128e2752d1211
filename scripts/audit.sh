#!/usr/bin/env bash
# Asks the advisory database about each locked dependency; fails for a known vulnerability, not for a database out of reach.
set -uo pipefail
cd "$(dirname "$0")/.."
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool" && "$tool/bin/python" -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9,<3' ||
  { echo "audit: NOT RUN, pip-audit could not be installed"; exit 0; }
timeout 180 "$tool/bin/pip-audit" -r requirements.lock --no-deps --disable-pip --format json --progress-spinner off \
  >"$tool/found.json" 2>"$tool/said.txt"
"$tool/bin/python" - "$tool/found.json" <<'PYTHON' || { tail -n 3 "$tool/said.txt"; exit 1; }
import json, sys

try:
    rows = json.load(open(sys.argv[1]))["dependencies"]
except (ValueError, KeyError):
    print("audit: NOT RUN, the advisory database is out of reach")
    raise SystemExit(0)
asked = [row for row in rows if "vulns" in row]
bad = [f"{row['name']} {row['version']}: {fault['id']}" for row in asked for fault in row["vulns"]]
print(*(f"audit: {line}" for line in bad), sep="\n", end="\n" * bool(bad))
if not asked:
    print("audit: NOT RUN, the advisory database is out of reach")
    raise SystemExit(0)
print(f"audit: {len(asked)} of {len(rows)} dependencies asked for, {len(bad)} known vulnerabilities")
raise SystemExit(bool(bad))
PYTHON
