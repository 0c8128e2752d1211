// OpenClaw: added and probed as its user does it, then driven by a scripted model, so that the host itself makes the calls.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import * as support from "./support.mjs";

const WHO = ["OpenClaw", support.version("openclaw")];
const SCRIPT = "node_modules/openclaw/openclaw.mjs";
const CONFIG = join(process.env.HOME, ".openclaw", "openclaw.json");
const CLIP = { ...support.CLIP, prompt: "a cat" };
const DEAR = { ...support.DEAR, prompt: "a dog" };
const PATIENCE = 6; // seconds, its connecting included; a t2v clip takes 14.25 at this speed
const SPEED = ["--speed", "20"];

/** One command of OpenClaw's. */
async function openclaw(...args) {
  const running = support.start(process.execPath, [SCRIPT, ...args]);
  const [code] = await running.ended;
  assert.equal(code, 0, `exit code ${code}; stdout: ${running.out}; stderr: ${running.err}`);
  return running.out;
}

/** A model that calls tools as `decide` says: it takes the answers so far, and gives a call or null. */
async function scriptedModel(decide) {
  const model = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      const answers = JSON.parse(body).messages.filter(({ role }) => role === "tool");
      const call = decide(answers.map(({ content }) => (typeof content === "string" ? content : JSON.stringify(content))));
      // OpenClaw shows the model no tool of an MCP server, but one to call them by.
      const named = call && { name: "tool_call", arguments: JSON.stringify({ id: `aivideo__${call[0]}`, args: call[1] }) };
      const id = `call${answers.length}`;
      const delta = call ? { tool_calls: [{ index: 0, id, type: "function", function: named }] } : { content: "done" };
      const chunk = (part, finish) => {
        const choices = [{ index: 0, delta: part, finish_reason: finish }];
        response.write(`data: ${JSON.stringify({ id: "x", object: "chat.completion.chunk", created: 1, model: "m", choices })}\n\n`);
      };
      response.setHeader("content-type", "text/event-stream");
      chunk({ role: "assistant", ...delta }, null);
      chunk({}, call ? "tool_calls" : "stop");
      response.end("data: [DONE]\n\n");
    });
  }).listen(0, "127.0.0.1");
  await once(model, "listening");
  return model;
}

/** One turn of OpenClaw's agent; gives all answers that its model saw. */
async function turn(decide) {
  let seen = [];
  const model = await scriptedModel((answers) => decide((seen = answers)));
  const config = JSON.parse(readFileSync(CONFIG, "utf8"));
  const models = [{ id: "m", name: "m", reasoning: false, input: ["text"], contextWindow: 200_000, maxTokens: 4000 }];
  const scripted = { baseUrl: `http://127.0.0.1:${model.address().port}/v1`, apiKey: "none", api: "openai-completions", models };
  config.models = { mode: "replace", providers: { scripted } };
  config.agents = { defaults: { model: { primary: "scripted/m" } } };
  writeFileSync(CONFIG, JSON.stringify(config));
  const paths = ["--config", CONFIG, "--state-dir", join(process.env.HOME, ".openclaw"), "--cwd", process.env.HOME];
  await openclaw("agent", "exec", "Make a video.", ...paths, "--json", "--timeout", "60");
  model.close();
  return seen;
}

process.env.AIVIDEO_CONFIRM_ABOVE = String(support.THRESHOLD);
const step = support.stepper(...WHO, "stdio and http");
await step("mcp add, mcp probe over stdio", 90_000, async () => {
  await openclaw("mcp", "add", "local", "--command", support.COMMAND, "--arg", "serve", "--arg", "--sandbox");
  const probed = JSON.parse(await openclaw("mcp", "probe", "local", "--json"));
  assert.deepEqual(probed.diagnostics, []);
  for (const name of support.TOOLS) assert.ok(probed.tools.includes(`local__${name}`), `${name} is not among ${probed.tools}`);
  assert.ok(probed.servers.local.resources && probed.servers.local.prompts);
  await openclaw("mcp", "unset", "local");
});
const server = await step("mcp add, mcp probe over http", 90_000, async () => {
  const started = await support.startServer("http", ...SPEED);
  await openclaw("mcp", "add", "aivideo", "--url", started.url, "--transport", "streamable-http", "--timeout", String(PATIENCE));
  const probed = JSON.parse(await openclaw("mcp", "probe", "aivideo", "--json"));
  assert.deepEqual(probed.diagnostics, []);
  return started;
});
await step("time-out, the model calls again until the video is there: one charge", 90_000, async () => {
  const answers = await turn((seen) => (seen.at(-1)?.includes("COMPLETED") || seen.length > 5 ? null : ["generate_video", CLIP]));
  assert.ok(answers.length >= 2, `no time-out: ${answers}`);
  assert.match(answers[0], /timed out|timeout/i);
  assert.match(answers.at(-1), /structuredContent/);
  const [, videoUrl] = /videoUrl[\\": ]+(http:\S+?\.mp4)/.exec(answers.at(-1));
  assert.equal((await fetch(videoUrl)).headers.get("content-type"), "video/mp4");
  assert.equal((await support.ledger(server.err)).charges, 1);
});
await step("an error, create_generation, cancel_task", 90_000, async () => {
  const answers = await turn((seen) => {
    if (seen.length === 0) return ["create_generation", { ...CLIP, duration: 7 }];
    if (seen.length === 1) return ["create_generation", CLIP];
    const [taskId] = /sb_\w+/.exec(seen[1]) ?? [];
    return seen.length === 2 ? ["cancel_task", { taskId }] : null;
  });
  assert.match(answers[0], /INVALID_PAYLOAD/);
  assert.match(answers[2], /CANCEL/); // or NOT_CANCELLABLE, if the host was slow
});
await step("the user's yes to a price: a code in the chat, one charge", 90_000, async () => {
  const { charges } = await support.ledger(server.err);
  const answers = await turn((seen) => {
    const confirmationCode = /confirmationCode[\\" ]+(\w+)/.exec(seen[0])?.[1]; // which the user would read and agree to
    return seen.length < 3 ? ["create_generation", { ...DEAR, ...(seen.length > 0 && { confirmationCode }) }] : null;
  });
  assert.match(answers[0], /Spend \d+ credits/);
  assert.match(answers[1], /SUBMITTED/);
  assert.match(answers[2], /CONFIRMATION_REQUIRED/);
  assert.equal((await support.ledger(server.err)).charges, charges + 1);
});
await step("SIGTERM after the calls, quiet on stderr", 10_000, async () => {
  await support.stopServer(server);
  support.assertQuiet(server.err);
});
process.exit(0); // the models' keep-alive connections are of no more use
