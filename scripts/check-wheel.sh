#!/usr/bin/env bash
# Builds the wheel twice and compares the bytes, then installs it into empty environments: the oldest and the newest Python
# that pyproject.toml names and this machine has, each with the lowest and the newest dependencies that are allowed.
# In each it asks for the version, lists the tools over stdio, and lets the doctor and the demo run on the sandbox.
# About a minute; five at most. Needs a Python with venv, and no network but PyPI.
# PYTHON: what brings uv (default: the repository's .venv, else python3).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${CHECK_BOUNDED:-}" ]; then CHECK_BOUNDED=1 exec timeout -k 5 300 bash "$0" "$@"; fi

python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=$(command -v "$python" || command -v python3)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/uv"
"$work/uv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
uv=$work/uv/bin/uv

# The caller's settings and files must reach neither the builds nor the servers.
for name in $(compgen -e AIVIDEO_) PYTHONPATH VIRTUAL_ENV; do unset "$name"; done
pyenv=${PYENV_ROOT:-$HOME/.pyenv}
export UV_CACHE_DIR=$work/cache UV_PYTHON_DOWNLOADS=never UV_NO_CONFIG=1 HOME=$work/home XDG_STATE_HOME=$work/home/state
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1577836800}
mkdir -p "$HOME"

# The same wheel from another folder, with other times and permissions.
(umask 077 && mkdir "$work/copy" && cp -R pyproject.toml README.md LICENSE server "$work/copy")
"$uv" build --quiet --wheel --out-dir "$work/one" .
sleep 2 # a zip file knows every other second
find "$work/copy" -exec touch {} +
"$uv" build --quiet --wheel --out-dir "$work/two" "$work/copy"
wheel=$(echo "$work"/one/*.whl)
cmp "$wheel" "$work"/two/*.whl
echo "wheel: the same bytes twice, $(stat -c %s "$wheel" 2>/dev/null || stat -f %z "$wheel") bytes, ${wheel##*/}"

# pyenv's shims only serve the version that is chosen; uv finds the others by their folders.
for folder in "$pyenv"/versions/3.*/bin; do [ -d "$folder" ] && PATH=$folder:$PATH; done
pythons=()
for version in $(sed -n 's/.*Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml); do
  if found=$("$uv" python find "$version" 2>/dev/null); then pythons+=("$found"); fi
done
[ ${#pythons[@]} -gt 0 ] || { echo "check-wheel.sh: none of the Pythons that pyproject.toml names is here" >&2; exit 1; }
oldest=${pythons[0]} newest=${pythons[$((${#pythons[@]} - 1))]}

check() { # PYTHON RESOLUTION
  local env=$work/env$RANDOM bin
  "$uv" venv --quiet --python "$1" "$env"
  "$uv" pip install --quiet --python "$env" --only-binary :all: --resolution "$2" -r pyproject.toml
  "$uv" pip install --quiet --python "$env" --no-deps "$wheel"
  bin=$env/bin
  echo "== $("$bin/python" --version), $2: $("$uv" pip list --quiet --python "$env" --format freeze |
    grep -E '^(mcp|httpx|pydantic|anyio|tenacity|puremagic|jsonschema|sqlalchemy|filelock|platformdirs|starlette|uvicorn)==' -i | tr '\n' ' ')"
  "$bin/aivideo-mcp" --version
  "$bin/python" scripts/boot.py "$bin/aivideo-mcp" serve 2>"$work/said" || { cat "$work/said" >&2; return 1; }
  "$bin/aivideo-mcp" sandbox --port 0 2>"$work/sandbox" &
  local sandbox=$!
  for _ in $(seq 100); do grep -q AIVIDEO_BASE_URL "$work/sandbox" && break; sleep 0.1; done
  local code=0
  env $(grep -o 'AIVIDEO_[A-Z_]*=[^ ]*' "$work/sandbox") "$bin/aivideo-mcp" doctor --json >"$work/doctor" || code=$?
  kill "$sandbox" && wait "$sandbox" || true
  "$bin/python" -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/doctor" && [ "$code" -eq 0 ] ||
    { echo "doctor: exit code $code" >&2; cat "$work/doctor" >&2; return 1; }
  echo "doctor: all is well"
  "$bin/aivideo-mcp" demo --speed 600 --output "$env/videos" >"$work/said" 2>&1 || { cat "$work/said" >&2; return 1; }
  echo "demo: $(ls "$env/videos" | wc -l) videos"
}

failed=0 passed=0
count() { # not `if "$@"`, inside which no failure would end the function
  set +e
  (set -e && "$@")
  local code=$?
  set -e
  if [ "$code" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $*" >&2; fi
}
for resolution in lowest-direct highest; do
  count check "$oldest" "$resolution"
  [ "$oldest" = "$newest" ] || count check "$newest" "$resolution"
done
uvx() { # as docs/clients.md has it
  echo "== uvx: $("$work/uv/bin/uvx" --quiet --python "$newest" --from "$wheel" aivideo-mcp --version)"
}
count uvx
pipx() { # the same, but for its own way to name a package that is not on the index
  echo "== pipx: $(PIPX_HOME=$work/pipx "$work/uv/bin/uvx" --quiet --python "$newest" pipx run --quiet --spec "$wheel" aivideo-mcp --version)"
}
count pipx
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
