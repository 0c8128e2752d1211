// The MCP Inspector's command line: one process per call, over stdio with a server of its own each time.
import assert from "node:assert/strict";
import * as support from "./support.mjs";

const SCRIPT = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
const TOOL_IS_ERROR = 5; // the Inspector's exit code for an answer with isError
const CLIP = { ...support.CLIP, prompt: "a cat" };

/** The result of one method, as the Inspector prints it. */
async function inspect(target, era, args, expected = 0) {
  const running = support.start(process.execPath, [SCRIPT, "--cli", "--format", "json", "--protocol-era", era, ...args, ...target]);
  const [code] = await running.ended;
  assert.equal(code, expected, `exit code ${code}; stdout: ${running.out}; stderr: ${running.err}`);
  assert.doesNotMatch(running.err, /Traceback/, running.err);
  return JSON.parse(running.out).result;
}

async function tools(target, era) {
  const result = await inspect(target, era, ["--method", "tools/list", "--strict"]); // exit 6: a schema some client refuses
  support.assertTools(result.tools);
}

async function call(target, era, tool, args, expected = 0) {
  const json = JSON.stringify(args);
  const result = await inspect(target, era, ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json], expected);
  assert.equal(result.isError, expected !== 0);
  return result.structuredContent;
}

process.env.AIVIDEO_CONFIRM_ABOVE = String(support.THRESHOLD);
const version = support.version("@modelcontextprotocol/inspector");

const stdio = ["-e", `AIVIDEO_STATE_DIR=${support.environment().AIVIDEO_STATE_DIR}`, "--", support.COMMAND, "serve", "--sandbox"];
let step = support.stepper("Inspector CLI", version, "stdio");
for (const era of ["legacy", "auto", "modern"]) {
  await step(`${era}: tools/list --strict`, 15_000, () => tools(stdio, era));
}
await step("legacy: generate_video", 20_000, async () => {
  // The file's address ends with the server, which lived for this call alone.
  const made = await call(stdio, "legacy", "generate_video", CLIP);
  assert.equal(made.ok, true);
  assert.equal(made.status, "COMPLETED");
  assert.match(made.data.videoUrl, /^http:\/\/127\.0\.0\.1:\d+\/\S+\.mp4$/);
});
await step("modern: get_task of an unknown id", 15_000, async () => {
  const refused = await call(stdio, "modern", "get_task", { taskId: "sb_000000000000000000000000" }, TOOL_IS_ERROR);
  assert.equal(refused.errorCode, "TASK_NOT_FOUND");
});

step = support.stepper("Inspector CLI", version, "http");
const server = await step("server starts", 15_000, () => support.startServer("http"));
const http = ["--transport", "http", "--server-url", server.url];
for (const era of ["legacy", "auto", "modern"]) {
  await step(`${era}: tools/list --strict`, 15_000, () => tools(http, era));
}
const made = await step("auto: generate_video, file is MP4", 20_000, async () => {
  const envelope = await call(http, "auto", "generate_video", CLIP);
  await support.assertClip(envelope);
  return envelope;
});
await step("legacy and modern: get_task of that id", 15_000, async () => {
  for (const era of ["legacy", "modern"]) {
    const found = await call(http, era, "get_task", { taskId: made.taskId });
    assert.equal(found.data.videoUrl, made.data.videoUrl);
  }
});
for (const era of ["legacy", "modern"]) {
  await step(`${era}: the user's yes to a price: a code, good for one charge`, 20_000, async () => {
    const { charges } = await support.ledger(server.err);
    const dear = { ...support.DEAR, prompt: era };
    const confirmationCode = support.codeIn(await call(http, era, "create_generation", dear, TOOL_IS_ERROR));
    assert.equal((await call(http, era, "create_generation", { ...dear, confirmationCode })).ok, true);
    support.codeIn(await call(http, era, "create_generation", { ...dear, confirmationCode }, TOOL_IS_ERROR));
    assert.equal((await support.ledger(server.err)).charges, charges + 1);
  });
}
await step("SIGTERM after the calls", 10_000, () => support.stopServer(server));
await step("quiet on stderr to the end", 1_000, async () => support.assertQuiet(server.err));
