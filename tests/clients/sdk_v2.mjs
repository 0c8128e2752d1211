// The TypeScript SDK's v2 client, held to protocol 2026-07-28.
import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import * as support from "./support.mjs";

const request = (prompt) => ({ name: "generate_video", arguments: { ...support.CLIP, prompt } });
const PATIENCE = 2500; // ms; a t2v clip takes 4.75 s in the sandbox

/** What both transports do alike; `stderr` gives what the server has written there. */
async function play(name, connect, stderr) {
  const step = support.stepper("TypeScript SDK v2", support.version("@modelcontextprotocol/client"), name);
  const client = new Client({ name: "aivideo-mcp-check", version: "1" }, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
  await step("2026-07-28: tools/list", 15_000, async () => {
    await client.connect(await connect());
    assert.equal(client.getNegotiatedProtocolVersion(), "2026-07-28");
    support.assertTools((await client.listTools()).tools);
  });
  await step("2026-07-28: generate_video with progress", 20_000, async () => {
    const seen = [];
    const result = await client.callTool(request("a fox"), { timeout: 15_000, onprogress: (progress) => seen.push(progress) });
    support.assertProgress(seen, result.structuredContent.taskId);
    await support.assertClip(result.structuredContent);
  });
  await step("2026-07-28: time-out, the same call again: one charge", 20_000, async () => {
    const before = (await support.ledger(stderr())).charges;
    await assert.rejects(client.callTool(request("a hare"), { timeout: PATIENCE }), /timed out/i);
    await support.assertClip((await client.callTool(request("a hare"), { timeout: 15_000 })).structuredContent);
    assert.equal((await support.ledger(stderr())).charges, before + 1);
  });
  return { client, step };
}

let server;
const connectHttp = async () => {
  server = await support.startServer("http");
  return new StreamableHTTPClientTransport(new URL(server.url));
};
const http = await play("http", connectHttp, () => server.err);
await http.step("SIGTERM with a call in flight", 10_000, () => {
  return support.endInFlight(server, (options) => http.client.callTool(request("an owl"), options));
});
await http.step("quiet on stderr to the end", 1_000, async () => support.assertQuiet(server.err));
await http.client.close();

const options = { command: support.COMMAND, args: ["serve", "--sandbox"], env: support.environment(), stderr: "pipe" };
const transport = new StdioClientTransport(options);
let said = "";
transport.stderr.on("data", (data) => (said += data));
const stdio = await play("stdio", async () => transport, () => said);
await stdio.step("ends with stdin, quiet on stderr", 10_000, async () => {
  const began = performance.now();
  await stdio.client.close(); // closes stdin; after 2 s it sends SIGTERM
  assert.ok(performance.now() - began < 1900, "stdin's end was not enough");
  support.assertQuiet(said);
});
process.exit(0); // no reconnecting client keeps this alive
