// Hosts that lose patience, over all three transports: first those that count from the last progress, side by side.
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as support from "./support.mjs";
import { V1, playReset, playTimeouts } from "./v1.mjs";

const NETWORK = { sse: SSEClientTransport, http: StreamableHTTPClientTransport };

/** Plays with a server of its own. */
async function network(name, play, ...more) {
  const server = await support.startServer(name, ...more);
  await play(new NETWORK[name](new URL(server.url)), server);
  await support.stopServer(server);
}

await Promise.all([
  ...Object.keys(NETWORK).map((name) => network(name, (transport) => playReset(V1, name, transport), "--speed", "20")),
  playReset(V1, "stdio", new support.Stdio(support.COMMAND, ["serve", "--sandbox", "--speed", "20"])),
]);
const stdio = new support.Stdio();
await Promise.all([
  ...Object.keys(NETWORK).map((name) =>
    network(name, (transport, server) => playTimeouts(V1, name, transport, () => server.err)),
  ),
  playTimeouts(V1, "stdio", stdio, () => stdio.said),
]);
process.exit(0); // no reconnecting client keeps this alive
