// What every client needs: a server to talk to, bounded waits, a row in the table.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

export const COMMAND = process.env.AIVIDEO_MCP;
export const TOOLS = ["generate_video", "create_generation", "get_status", "get_task", "cancel_task"];
export const CLIP = { model: "t2v", aspectRatio: "16:9", duration: 5 };
export const THRESHOLD = 15; // credits, above which the user is asked: exactly the price of CLIP
export const DEAR = { ...CLIP, duration: 8 };
const GONE_WITHIN = 3000; // ms from a signal or the end of stdin: the server's promise

// Whom to kill when this process ends, whatever happens: a process id, or a negative one for a whole group.
export const owned = new Set();
process.on("exit", () => {
  for (const id of owned) {
    try {
      process.kill(id, "SIGKILL");
    } catch {
      // it has ended
    }
  }
});
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => process.exit(130));

/** Start a process, as the head of a group, and collect what it writes in `out` and `err`. */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true, ...options });
  const running = { child, out: "", err: "", ended: once(child, "close") };
  owned.add(-child.pid);
  const gone = () => owned.delete(-child.pid);
  running.ended.then(gone, gone);
  child.stdout.on("data", (data) => (running.out += data));
  child.stderr.on("data", (data) => (running.err += data));
  return running;
}

/** The promise's value, or an error that says what was waited for. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not after ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** An environment with a state folder of its own: one server's tasks mean nothing to the next one's sandbox. */
export function environment() {
  return { ...process.env, AIVIDEO_STATE_DIR: mkdtempSync(join(process.cwd(), "state-")) };
}

/** The stdio transport of the TypeScript SDK v1, whose process ends with this one; `said` is what it wrote on stderr. */
export class Stdio extends StdioClientTransport {
  said = "";

  constructor(command = COMMAND, args = ["serve", "--sandbox"]) {
    super({ command, args, env: environment(), stderr: "pipe" });
    this.stderr.on("data", (data) => (this.said += data));
  }

  async start() {
    await super.start();
    owned.add(this.pid);
  }

  /** Closes stdin; after 2 s it sends SIGTERM. */
  async close() {
    const { pid } = this;
    await super.close();
    owned.delete(pid);
  }
}

/** A server on the network transports, on a free port of 127.0.0.1. */
export async function startServer(transport, ...more) {
  return listening(start(COMMAND, ["serve", "--sandbox", "--transport", transport, "--port", "0", ...more], { env: environment() }));
}

/** A server that was started, once it has told its address. */
export async function listening(server) {
  const told = new Promise((resolve) => {
    server.child.stderr.on("data", () => {
      const url = /MCP at (\S+)/.exec(server.err)?.[1];
      if (url) resolve(url);
    });
  });
  const early = server.ended.then(() => assert.fail(`the server ended at once: ${server.err}`));
  server.url = await within(15_000, "the server's address on stderr", Promise.race([told, early]));
  early.catch(() => {}); // its end is judged by stopServer
  return server;
}

/** What the sandbox inside a server has charged and been asked; the server's stderr names its address. */
export async function ledger(stderr) {
  const [, url] = /SANDBOX inside, at (http:\/\/127\.0\.0\.1:\d+)/.exec(stderr);
  return (await fetch(`${url}/sandbox/ledger`, { signal: AbortSignal.timeout(5000) })).json();
}

/** SIGTERM; the server must go in time and in order: exit code 0, stdout empty. */
export async function stopServer(server) {
  const began = performance.now();
  server.child.kill("SIGTERM");
  const [code] = await within(GONE_WITHIN, "the server's end after SIGTERM", server.ended);
  const took = Math.round(performance.now() - began);
  assert.equal(code, 0, `exit code ${code}; stderr: ${server.err}`);
  assert.equal(server.out, "", "stdout of a network server");
  return `gone after ${took} ms`;
}

/** SIGTERM while a call's stream is open: the server goes in order, whatever the client then thinks of it. */
export async function endInFlight(server, begin) {
  await new Promise((resolve, reject) => begin({ onprogress: resolve }).catch(reject));
  return stopServer(server);
}

/** Nothing on stderr that would frighten a user, such as a traceback. */
export function assertQuiet(stderr) {
  const found = stderr.split("\n").filter((line) => /^(ERROR|WARNING|Traceback)|Exception|Error:/.test(line));
  assert.ok(found.length === 0, `on stderr:\n  ${found.join("\n  ")}`);
}

/** The version of an installed package. */
export function version(name) {
  return JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;
}

/** `step(scenario, ms, action)` makes one row of the table; a failure is told and ends the process. */
export function stepper(client, clientVersion, transport) {
  return async (scenario, ms, action) => {
    const row = (result) =>
      appendFileSync(process.env.RESULTS, `${[client, clientVersion, transport, scenario, result].join("\t")}\n`);
    try {
      const began = performance.now();
      const value = await within(ms, scenario, action());
      const note = typeof value === "string" ? ` (${value})` : "";
      console.log(`ok: ${client}, ${transport}: ${scenario}${note}, ${Math.round(performance.now() - began)} ms`);
      row("passed");
      return value;
    } catch (fault) {
      console.error(`FAILED: ${client} ${clientVersion}, ${transport}: ${scenario}\n${fault.stack ?? fault}`);
      row("FAILED");
      process.exit(1);
    }
  };
}

/** The mission's tools are there; clients hold answers against a tool's outputSchema, so each must have one. */
export function assertTools(tools) {
  const names = tools.map((tool) => tool.name);
  for (const name of TOOLS) assert.ok(names.includes(name), `${name} is not among ${names}`);
  for (const tool of tools) assert.equal(tool.outputSchema?.type, "object", `outputSchema of ${tool.name}`);
}

/** Progress as a host sees it: at least two, strictly increasing, the first of which names the task. */
export function assertProgress(seen, taskId) {
  assert.ok(seen.length >= 2, `${seen.length} progress notifications`);
  assert.ok(seen[0].message.includes(taskId), `the first message is "${seen[0].message}"`);
  seen.reduce((before, now) => {
    assert.ok(now.progress > before.progress, `progress ${now.progress} after ${before.progress}`);
    return now;
  });
}

/** The code of an answer that asks for the user's yes, which names the price and leaves the yes to the user. */
export function codeIn(envelope) {
  assert.equal(envelope.errorCode, "CONFIRMATION_REQUIRED", JSON.stringify(envelope));
  assert.match(envelope.errorMessage, /Spend \d+ credits/);
  return /confirmationCode "(\w+)"/.exec(envelope.nextSteps.join(" "))[1];
}

/** A finished clip's envelope, and at its address something that begins like an MP4 file. */
export async function assertClip(envelope) {
  assert.equal(envelope.ok, true, JSON.stringify(envelope));
  assert.equal(envelope.status, "COMPLETED");
  assert.ok(envelope.taskId);
  const answer = await fetch(envelope.data.videoUrl, { signal: AbortSignal.timeout(5000) });
  assert.equal(answer.status, 200);
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(bytes.toString("latin1", 4, 8), "ftyp");
  const brands = bytes.toString("latin1", 8, bytes.readUInt32BE(0)); // the first box: major brand, version, others
  assert.match(brands, /mp4|isom/);
  assert.match(answer.headers.get("content-type"), /^video\/mp4/);
}
