// The official conformance suite against the server with the suite's fixtures: stable and newest, HTTP and stdio.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import * as support from "./support.mjs";

const { FIXTURES, PYTHON } = process.env;
const SERVER = [join(FIXTURES, "server.py"), "serve", "--sandbox"];
const OLDER = { "conformance-stable": [[]], "conformance-alpha": [["--spec-version", "2025-11-25"]] };
const NEWEST = { "conformance-alpha": [["--spec-version", "2026-07-28"]] };
const LEAST = 25; // checks that must have passed in any run: a suite that finds nothing to check proves nothing

let folders = 0;

/** Runs a suite; gives how many checks passed, and how many failed as expected. */
async function run(suite, url, baseline, options) {
  const output = `conformance-${folders++}`;
  const script = `node_modules/${suite}/dist/index.js`;
  const expected = join(FIXTURES, baseline);
  const args = ["server", "--url", url, "--suite", "all", "--expected-failures", expected, "-o", output, ...options];
  const running = support.start(process.execPath, [script, ...args]);
  const [code] = await running.ended;
  assert.equal(code, 0, `exit code ${code}\n${running.out.slice(running.out.indexOf("=== SUMMARY"))}\n${running.err}`);
  const checks = readdirSync(output).flatMap((folder) => JSON.parse(readFileSync(join(output, folder, "checks.json"), "utf8")));
  const count = (status) => checks.filter((check) => check.status === status).length;
  const [passed, failed] = [count("SUCCESS"), count("FAILURE")];
  assert.ok(passed >= LEAST, `only ${passed} checks passed\n${running.out}`);
  return `${passed} checks passed, ${failed} failed as expected`;
}

/** A port that was free a moment ago: mcp-proxy does not tell which one it took. */
async function freePort() {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address();
  await new Promise((resolve) => taken.close(resolve));
  return String(port);
}

/** Somebody listens on a port. */
async function accepts(port) {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const answer = await once(socket, "connect").catch(() => null);
    socket.destroy();
    if (answer) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function play(transport, url, baseline, suites) {
  for (const [suite, runs] of Object.entries(suites)) {
    const step = support.stepper("Conformance suite", support.version(suite), transport);
    for (const options of runs) {
      await step(["--suite all", ...options].join(" "), 60_000, () => run(suite, url, baseline, options));
    }
  }
}

const http = await support.listening(
  support.start(PYTHON, [...SERVER, "--transport", "http", "--port", "0"], { env: support.environment() }),
);
for (const suites of [OLDER, NEWEST]) await play("http", http.url, "expected-failures.yml", suites);
await support.stopServer(http);

// mcp-proxy speaks the older protocols to the server, whatever the suite speaks to it, so 2026-07-28 is left out here.
const port = await freePort();
const bridge = ["node_modules/mcp-proxy/dist/bin/mcp-proxy.mjs", "--host", "127.0.0.1", "--port", port, "--server", "stream"];
const proxy = support.start(process.execPath, [...bridge, "--", PYTHON, ...SERVER], { env: support.environment() });
await support.within(20_000, "mcp-proxy", accepts(port));
await play("stdio by mcp-proxy", `http://127.0.0.1:${port}/mcp`, "expected-failures-stdio.yml", OLDER);
proxy.child.kill("SIGTERM");
await support.within(10_000, "mcp-proxy's end", proxy.ended);
process.exit(0);
