// The TypeScript SDK, which most hosts are built on: here its v1, over all three transports.
import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ErrorCode } from "@modelcontextprotocol/sdk/types.js";
import * as support from "./support.mjs";

const { CLIP } = support;
const PICTURE = paddedPng(10 * 1024 * 1024); // the largest that is allowed
const SELF = { name: "aivideo-mcp-check", version: "1" };

// What the client complains of for no fault that matters here.
const EXCUSED = [
  /unknown message ID.*"code":-32800/, // over HTTP the Python SDK answers even a call that was given up
  /unknown token.*"COMPLETED:/, // the last progress came together with the result, which the client handles first
];

/** A valid PNG of one pixel, brought to the size by a private chunk, as a data URI. */
function paddedPng(size) {
  const chunk = (type, data) => {
    const head = Buffer.concat([Buffer.from(type), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc32(head), 4);
    return Buffer.concat([frame.subarray(0, 4), head, frame.subarray(4)]);
  };
  const pixel = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  const end = pixel.length - 12; // IEND, always 12 bytes, stays last
  const padding = chunk("paDd", Buffer.alloc(size - pixel.length - 12));
  const picture = Buffer.concat([pixel.subarray(0, end), padding, pixel.subarray(end)]);
  assert.equal(picture.length, size);
  return `data:image/png;base64,${picture.toString("base64")}`;
}

async function playV1(name, connect, end) {
  const step = support.stepper("TypeScript SDK v1", support.version("sdk"), name);
  const client = new Client(SELF);
  const faults = []; // what the client could not read, such as stray text on stdout
  client.onerror = (fault) => {
    if (!EXCUSED.some((pattern) => pattern.test(fault.message))) faults.push(fault);
  };
  const call = async (tool, args, options) => {
    const result = await client.callTool({ name: tool, arguments: args }, undefined, { timeout: 20_000, ...options });
    const envelope = result.structuredContent;
    assert.equal(result.isError ?? false, !envelope.ok);
    return envelope;
  };
  const create = async (args) => {
    const made = await call("create_generation", args);
    assert.equal(made.ok, true, JSON.stringify(made));
    return made.taskId;
  };

  await step("connect, tools/list", 15_000, async () => {
    await connect(client);
    support.assertTools((await client.listTools()).tools);
  });
  const made = await step("generate_video with progress, file is MP4", 20_000, async () => {
    const seen = [];
    const envelope = await call("generate_video", { ...CLIP, prompt: `a cat, ${name}` }, {
      timeout: 15_000,
      resetTimeoutOnProgress: true,
      onprogress: (progress) => seen.push(progress),
    });
    support.assertProgress(seen, envelope.taskId);
    await support.assertClip(envelope);
    return envelope;
  });
  await step("get_status, get_task", 10_000, async () => {
    const taskId = made.taskId;
    assert.equal((await call("get_status", { taskId })).status, "COMPLETED");
    assert.equal((await call("get_task", { taskId })).data.videoUrl, made.data.videoUrl);
  });
  await step("create_generation, cancel_task", 10_000, async () => {
    // The sandbox leaves a third of a second for it, which a busy machine may miss.
    for (let tries = 3; ; tries--) {
      const taskId = await create({ ...CLIP, prompt: "a dog" });
      const cancelled = await call("cancel_task", { taskId });
      if (cancelled.errorCode === "NOT_CANCELLABLE" && tries > 1) continue;
      assert.equal(cancelled.status, "CANCEL", JSON.stringify(cancelled));
      return;
    }
  });
  await step("bad duration is INVALID_PAYLOAD", 10_000, async () => {
    const refused = await call("create_generation", { ...CLIP, prompt: "a dog", duration: 7 });
    assert.equal(refused.errorCode, "INVALID_PAYLOAD");
    assert.match(refused.errorMessage, /duration.*\b5\b.*\b8\b/);
  });
  await step("client time-out, then resume by taskId", 20_000, async () => {
    let told;
    const onprogress = (progress) => (told ??= progress.message);
    await assert.rejects(
      call("generate_video", { ...CLIP, prompt: "a bird" }, { timeout: 1500, onprogress }),
      { code: ErrorCode.RequestTimeout },
    );
    assert.ok(told, "progress named no task before the time-out");
    const [taskId] = /\bsb_\w+/.exec(told);
    const resumed = await call("generate_video", { taskId });
    assert.equal(resumed.taskId, taskId);
    await support.assertClip(resumed);
  });
  await step("picture of 10 MiB", 20_000, async () => {
    await create({ model: "i2v", prompt: "sunrise", duration: 5, image: PICTURE });
  });
  await end(client, step, faults);
}

async function playNetwork(transport, Transport) {
  let server;
  const connect = async (client) => {
    server = await support.startServer(transport);
    await client.connect(new Transport(new URL(server.url)));
  };
  await playV1(transport, connect, async (client, step, faults) => {
    await step("SIGTERM with a call in flight", 10_000, () => {
      assert.deepEqual(faults, []); // later ones are the client's view of the end
      const request = { name: "generate_video", arguments: { ...CLIP, prompt: "late" } };
      return support.endInFlight(server, (options) => client.callTool(request, undefined, options));
    });
    await step("quiet on stderr to the end", 1_000, async () => support.assertQuiet(server.err));
    await client.close();
  });
}

async function playStdio() {
  const transport = new StdioClientTransport({
    command: support.COMMAND,
    args: ["serve", "--sandbox"],
    env: support.environment(),
    stderr: "pipe",
  });
  let stderr = "";
  transport.stderr.on("data", (data) => (stderr += data));
  const connect = async (client) => {
    await client.connect(transport);
    support.owned.add(transport.pid);
  };
  await playV1("stdio", connect, async (client, step, faults) => {
    await step("ends with stdin, nothing stray on stdout", 10_000, async () => {
      const began = performance.now();
      const { pid } = transport;
      await client.close(); // closes stdin; after 2 s it sends SIGTERM
      support.owned.delete(pid);
      const took = Math.round(performance.now() - began);
      assert.ok(took < 1900, `closing took ${took} ms, so stdin's end was not enough`);
      assert.deepEqual(faults, []);
      support.assertQuiet(stderr);
      return `gone after ${took} ms`;
    });
  });
}

await playNetwork("sse", SSEClientTransport);
await playNetwork("http", StreamableHTTPClientTransport);
await playStdio();
process.exit(0); // no reconnecting client keeps this alive
