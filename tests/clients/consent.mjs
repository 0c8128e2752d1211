// The user's yes to a price, through clients that ask for it, and by a code where they cannot. Charges are counted at the
// sandbox: what nobody agreed to is not charged, and what somebody did is charged once.
import assert from "node:assert/strict";
import { Client as Client2, StreamableHTTPClientTransport as Http2 } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import * as support from "./support.mjs";
import { V1 } from "./v1.mjs";

process.env.AIVIDEO_CONFIRM_ABOVE = String(support.THRESHOLD);
const SELF = { name: "aivideo-mcp-check", version: "1" };
const V2 = ["TypeScript SDK v2", support.version("@modelcontextprotocol/client")];
const YES = { action: "accept", content: { confirm: true } };
const NO = { declined: { action: "decline" }, "answered with no": { action: "accept", content: { confirm: false } } };
const PATIENCE = 2000; // ms after which a call is cancelled whose user still thinks

/** A client of the v1 SDK that asks its user by `answer`, or, without one, cannot ask. */
function first(answer) {
  const client = new Client(SELF, { capabilities: answer ? { elicitation: {} } : {} });
  if (answer) client.setRequestHandler(ElicitRequestSchema, answer);
  return { client, call: (request, options) => client.callTool(request, undefined, options) };
}

/** The same of the v2 SDK, in the era that is named by `mode`. */
const second = (mode) => (answer) => {
  const capabilities = answer ? { elicitation: { form: {} } } : {};
  const client = new Client2(SELF, { capabilities, versionNegotiation: { mode } });
  if (answer) client.setRequestHandler("elicitation/create", answer);
  return { client, call: (request, options) => client.callTool(request, options) };
};

/**
 * One client over one transport: once as a host that asks its user, once as one that cannot.
 *
 * `link` gives a transport, and what the server behind it has written on stderr.
 */
async function play(who, name, make, link) {
  const step = support.stepper(...who, `${name}, consent`);
  let answer; // the user's
  let questions;
  const connected = async (asking) => {
    const { client, call } = make(asking);
    const { transport, stderr } = await link();
    await client.connect(transport);
    while (!stderr().includes("SANDBOX inside")) await new Promise((resolve) => setTimeout(resolve, 50));
    const scenario = (title, act) =>
      step(title, 30_000, async () => {
        questions = [];
        const before = (await support.ledger(stderr())).charges;
        const dear = { ...support.DEAR, prompt: title }; // other words, so that none joins what an earlier one paid for
        const charged = async (count) => assert.equal((await support.ledger(stderr())).charges - before, count, "charges");
        const create = async (args, tool = "create_generation", options = { timeout: 15_000 }) => {
          const { structuredContent, isError } = await call({ name: tool, arguments: args }, options);
          assert.equal(isError ?? false, !structuredContent.ok);
          return structuredContent;
        };
        await act({ dear, create, charged });
      });
    return { scenario, close: () => client.close(), stderr };
  };

  const host = await step("connect as a host that asks", 20_000, () =>
    connected(async (request) => (questions.push(request.params.message), answer())));
  await host.scenario("accepted: asked once, one charge of that price", async ({ dear, create, charged }) => {
    answer = () => YES;
    const made = await create(dear);
    assert.equal(made.ok, true, JSON.stringify(made));
    assert.equal(questions.length, 1);
    assert.ok(questions[0].startsWith(`Spend ${made.data.creditsCharged} credits `), questions[0]);
    await charged(1);
  });
  await host.scenario("accepted in generate_video: the video, one charge", async ({ dear, create, charged }) => {
    await support.assertClip(await create(dear, "generate_video"));
    assert.equal(questions.length, 1);
    await charged(1);
  });
  await host.scenario("not dearer than the threshold: nobody is asked", async ({ dear, create, charged }) => {
    assert.equal((await create({ ...dear, duration: 5 })).ok, true);
    assert.deepEqual(questions, []);
    await charged(1);
  });
  for (const [way, no] of Object.entries(NO)) {
    await host.scenario(`${way}: refused, no charge`, async ({ dear, create, charged }) => {
      answer = () => no;
      assert.equal((await create(dear)).errorCode, "CONFIRMATION_DECLINED");
      assert.equal(questions.length, 1);
      await charged(0);
    });
  }
  answer = () => ({ action: "cancel" });
  await host.scenario("cancelled: a code, good for one charge", agreeInTheChat);
  await host.scenario("accepted after the call was cancelled: no charge", async ({ dear, create, charged }) => {
    answer = () => new Promise((resolve) => setTimeout(resolve, PATIENCE + 1000, YES));
    const options = { timeout: 15_000, signal: AbortSignal.timeout(PATIENCE) };
    await assert.rejects(create(dear, "create_generation", options), /aborted due to timeout/);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    assert.equal(questions.length, 1);
    await charged(0);
  });
  await host.close();
  const mute = await step("connect as a host that cannot ask", 20_000, () => connected(null));
  await mute.scenario("a code, good for one charge", agreeInTheChat);
  await mute.close();
  for (const { stderr } of [host, mute]) support.assertQuiet(stderr());
}

/** The code goes to the user in the chat, and comes back with the same call. */
async function agreeInTheChat({ dear, create, charged }) {
  const confirmationCode = support.codeIn(await create(dear));
  await charged(0);
  support.codeIn(await create({ ...dear, prompt: "something else", confirmationCode }));
  await charged(0);
  const made = await create({ ...dear, confirmationCode });
  assert.equal(made.ok, true, JSON.stringify(made));
  await charged(1);
  assert.notEqual(support.codeIn(await create({ ...dear, confirmationCode })), confirmationCode);
  await charged(1);
}

const stdio1 = async () => {
  const transport = new support.Stdio();
  return { transport, stderr: () => transport.said };
};
const stdio2 = async () => {
  const env = support.environment();
  const transport = new StdioClientTransport({ command: support.COMMAND, args: ["serve", "--sandbox"], env, stderr: "pipe" });
  let said = "";
  transport.stderr.on("data", (data) => (said += data));
  return { transport, stderr: () => said };
};
const to = (server, transport) => async () => ({ transport: transport(new URL(server.url)), stderr: () => server.err });
const bridge = (url) =>
  new support.Stdio(process.execPath, ["node_modules/mcp-remote/dist/proxy.js", url.href, "--transport", "http-only"]);

const [http, sse] = await Promise.all(["http", "sse"].map((transport) => support.startServer(transport)));
await play(V1, "stdio", first, stdio1);
await play(V1, "sse", first, to(sse, (url) => new SSEClientTransport(url)));
await play(V1, "http", first, to(http, (url) => new StreamableHTTPClientTransport(url)));
await play(V2, "stdio", second({ pin: "2026-07-28" }), stdio2);
await play(V2, "http", second({ pin: "2026-07-28" }), to(http, (url) => new Http2(url)));
await play(V2, "http, legacy", second("legacy"), to(http, (url) => new Http2(url)));
await play(["mcp-remote", support.version("mcp-remote")], "http", first, to(http, bridge));
const step = support.stepper(...V1, "consent");
await step("SIGTERM after the calls, quiet on stderr", 10_000, async () => {
  await Promise.all([http, sse].map(support.stopServer));
  for (const server of [http, sse]) support.assertQuiet(server.err);
});
process.exit(0); // no reconnecting client keeps this alive
