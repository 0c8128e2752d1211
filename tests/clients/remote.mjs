// mcp-remote: hosts that know stdio alone reach a server on the network through it.
import assert from "node:assert/strict";
import * as support from "./support.mjs";
import { playReset, playTimeouts, playTools } from "./v1.mjs";

const MEBIBYTES = 7; // of picture: as base64 just within the 10 MiB that its stdio takes in one message
const WHO = ["mcp-remote", support.version("mcp-remote")];

for (const transport of ["sse", "http"]) {
  const bridge = (server) =>
    new support.Stdio(process.execPath, ["node_modules/mcp-remote/dist/proxy.js", server.url, "--transport", `${transport}-only`]);
  const server = await support.startServer(transport);
  await playTools(WHO, transport, (client) => client.connect(bridge(server)), async (client, step, faults) => {
    await step("nothing stray on stdout", 10_000, async () => assert.deepEqual(faults, []));
    await client.close();
  }, MEBIBYTES);
  const slow = await support.startServer(transport, "--speed", "20");
  await Promise.all([
    playTimeouts(WHO, transport, bridge(server), () => server.err),
    playReset(WHO, transport, bridge(slow)),
  ]);
  const step = support.stepper(...WHO, transport);
  await step("SIGTERM after the calls, quiet on stderr", 10_000, async () => {
    await Promise.all([server, slow].map(support.stopServer));
    support.assertQuiet(server.err);
  });
}
process.exit(0); // no reconnecting client keeps this alive
