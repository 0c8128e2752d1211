// The TypeScript SDK's v1 client itself, over all three transports.
import assert from "node:assert/strict";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as support from "./support.mjs";
import { V1, playTools } from "./v1.mjs";

async function playNetwork(transport, Transport) {
  let server;
  const connect = async (client) => {
    server = await support.startServer(transport);
    await client.connect(new Transport(new URL(server.url)));
  };
  await playTools(V1, transport, connect, async (client, step, faults) => {
    await step("SIGTERM with a call in flight", 10_000, () => {
      assert.deepEqual(faults, []); // later ones are the client's view of the end
      const request = { name: "generate_video", arguments: { ...support.CLIP, prompt: "late" } };
      return support.endInFlight(server, (options) => client.callTool(request, undefined, options));
    });
    await step("quiet on stderr to the end", 1_000, async () => support.assertQuiet(server.err));
    await client.close();
  });
}

async function playStdio() {
  const transport = new support.Stdio();
  await playTools(V1, "stdio", (client) => client.connect(transport), async (client, step, faults) => {
    await step("ends with stdin, nothing stray on stdout", 10_000, async () => {
      const began = performance.now();
      await client.close();
      const took = Math.round(performance.now() - began);
      assert.ok(took < 1900, `closing took ${took} ms, so stdin's end was not enough`);
      assert.deepEqual(faults, []);
      support.assertQuiet(transport.said);
      return `gone after ${took} ms`;
    });
  });
}

await playNetwork("sse", SSEClientTransport);
await playNetwork("http", StreamableHTTPClientTransport);
await playStdio();
process.exit(0); // no reconnecting client keeps this alive
