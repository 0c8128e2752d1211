// The TypeScript SDK's v2 client, held to protocol 2026-07-28, over streamable HTTP.
import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import * as support from "./support.mjs";

const request = (prompt) => ({ name: "generate_video", arguments: { ...support.CLIP, prompt } });

const step = support.stepper("TypeScript SDK v2", support.version("@modelcontextprotocol/client"), "http");
let server;
const client = new Client({ name: "aivideo-mcp-check", version: "1" }, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
await step("2026-07-28: tools/list", 15_000, async () => {
  server = await support.startServer("http");
  await client.connect(new StreamableHTTPClientTransport(new URL(server.url)));
  assert.equal(client.getNegotiatedProtocolVersion(), "2026-07-28");
  support.assertTools((await client.listTools()).tools);
});
await step("2026-07-28: generate_video with progress", 20_000, async () => {
  const seen = [];
  const result = await client.callTool(request("a fox"), { timeout: 15_000, onprogress: (progress) => seen.push(progress) });
  support.assertProgress(seen, result.structuredContent.taskId);
  await support.assertClip(result.structuredContent);
});
await step("SIGTERM with a call in flight", 10_000, () => {
  return support.endInFlight(server, (options) => client.callTool(request("an owl"), options));
});
await step("quiet on stderr to the end", 1_000, async () => support.assertQuiet(server.err));
await client.close();
process.exit(0); // no reconnecting client keeps this alive
