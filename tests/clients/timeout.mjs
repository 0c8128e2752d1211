// A host that gives up after its SDK's default time-out and simply calls again with the same arguments: one charge,
// and the video on a later call. The 60 s of the default are scaled down to one, and the sandbox's speed with them.
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ErrorCode } from "@modelcontextprotocol/sdk/types.js";
import * as support from "./support.mjs";

const TIMEOUT = 2500; // ms; a t2v clip takes 4.75 s in the sandbox
const SELF = { name: "aivideo-mcp-check", version: "1" };
const EXCUSED = [/unknown message ID.*"code":-32800/]; // over HTTP the Python SDK answers even a call that was given up

/** What the sandbox has charged and been asked; `stderr` names its address. */
async function ledger(stderr) {
  const [, url] = /SANDBOX inside, at (http:\/\/127\.0\.0\.1:\d+)/.exec(stderr());
  return (await fetch(`${url}/sandbox/ledger`, { signal: AbortSignal.timeout(5000) })).json();
}

async function play(name, transport, stderr) {
  const step = support.stepper("TypeScript SDK v1", support.version("sdk"), `${name}, time-out`);
  const client = new Client(SELF);
  const faults = [];
  client.onerror = (fault) => {
    if (!EXCUSED.some((pattern) => pattern.test(fault.message))) faults.push(fault);
  };
  await client.connect(transport);
  for (const progress of [false, true]) {
    const clip = { ...support.CLIP, prompt: `a cat, ${name}, ${progress}` };
    const options = { timeout: TIMEOUT, ...(progress ? { onprogress: () => {} } : {}) };
    const call = () => client.callTool({ name: "generate_video", arguments: clip }, undefined, options);
    const told = progress ? "with progress" : "without progress";
    await step(`time-out ${told}, the same call again: one charge`, 20_000, async () => {
      const before = (await ledger(stderr)).charges;
      await assert.rejects(call(), { code: ErrorCode.RequestTimeout });
      const first = performance.now();
      for (;;) {
        const answer = await call().catch((fault) => {
          assert.equal(fault.code, ErrorCode.RequestTimeout, `${fault}`);
          return null;
        });
        assert.equal((await ledger(stderr)).charges, before + 1);
        if (answer === null) {
          assert.ok(performance.now() - first < 10_000, "no answer in four times the usual time");
          continue;
        }
        await support.assertClip(answer.structuredContent);
        return;
      }
    });
    await step(`delivered ${told}, the same call once more: a second charge`, 20_000, async () => {
      const before = (await ledger(stderr)).charges;
      await assert.rejects(call(), { code: ErrorCode.RequestTimeout });
      assert.equal((await ledger(stderr)).charges, before + 1);
    });
  }
  await step("nothing is asked for calls that were given up", 15_000, async () => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = (await ledger(stderr)).calls;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.deepEqual((await ledger(stderr)).calls, before);
  });
  assert.deepEqual(faults, []);
  return client;
}

for (const [name, Transport] of [["sse", SSEClientTransport], ["http", StreamableHTTPClientTransport]]) {
  const server = await support.startServer(name);
  const client = await play(name, new Transport(new URL(server.url)), () => server.err);
  await client.close();
  await support.stopServer(server);
}
const transport = new StdioClientTransport({
  command: support.COMMAND,
  args: ["serve", "--sandbox"],
  env: support.environment(),
  stderr: "pipe",
});
let stderr = "";
transport.stderr.on("data", (data) => (stderr += data));
const pid = () => transport.pid;
const client = await play("stdio", transport, () => stderr);
support.owned.add(pid());
await client.close();
process.exit(0); // no reconnecting client keeps this alive
