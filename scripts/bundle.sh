#!/usr/bin/env bash
# Packs dist/aivideo-mcp-VERSION.mcpb, the bundle that Claude Desktop opens, and tries it: npm's mcpb validates, packs,
# unpacks, and fills in the form as its host would, with a key alone; then uv starts the server, and the tools are listed.
# Also starts it by the manifest's entry point, which hosts may take instead of its command.
# About a minute; four at most. Needs npm, and no network but the registries of npm and PyPI.
# PYTHON: with the project installed (default: the repository's .venv).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${BUNDLE_BOUNDED:-}" ]; then BUNDLE_BOUNDED=1 exec timeout -k 5 240 bash "$0" "$@"; fi

python=${PYTHON:-$PWD/.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in $(compgen -e AIVIDEO_); do unset "$name"; done

mkdir "$work/bundle"
cp -R pyproject.toml README.md LICENSE server "$work/bundle"
find "$work/bundle" -name __pycache__ -prune -exec rm -rf {} +
"$python" scripts/listings.py "$work/bundle"
unset PYTHONPATH VIRTUAL_ENV

npm install --prefix "$work/npm" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error \
  '@anthropic-ai/mcpb@^2.1.2' >/dev/null
mcpb() { node "$work/npm/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js" "$@"; }
mcpb validate "$work/bundle/manifest.json"
version=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$work/bundle/manifest.json")
file=$PWD/dist/aivideo-mcp-$version.mcpb
mkdir -p dist
mcpb pack "$work/bundle" "$file" >"$work/packed" || { cat "$work/packed" >&2; exit 1; }
mcpb unpack "$file" "$work/unpacked" >/dev/null

cat >"$work/npm/host.mjs" <<'NODE'
import { readFileSync } from "node:fs";
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb";

const extensionPath = process.argv[2];
const manifest = JSON.parse(readFileSync(`${extensionPath}/manifest.json`, "utf8"));
const given = { manifest, extensionPath, systemDirs: {}, pathSeparator: "/" };
if (await getMcpConfigForManifest({ ...given, userConfig: {} })) throw new Error("it starts without a key");
console.log(JSON.stringify(await getMcpConfigForManifest({ ...given, userConfig: { api_key: "ak_bundle" } })));
NODE
node "$work/npm/host.mjs" "$work/unpacked" 2>/dev/null >"$work/entry.json"

"$python" -m venv "$work/uv"
"$work/uv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
export PATH=$work/uv/bin:$PATH UV_CACHE_DIR=$work/cache UV_NO_CONFIG=1 HOME=$work/home XDG_STATE_HOME=$work/home/state
mkdir "$HOME"
BOOT_SECONDS=120 "$python" scripts/boot.py "$work/entry.json"
"$python" scripts/boot.py uv run --directory "$work/unpacked" server/aivideo_mcp/__main__.py
echo "${file#"$PWD"/}: $(wc -c <"$file") bytes; 2 passed, 0 failed"
