// What a client on the TypeScript SDK v1, which most hosts are built on, does with the server: over whatever transport,
// through whatever stands between.
import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { ErrorCode } from "@modelcontextprotocol/sdk/types.js";
import * as support from "./support.mjs";

const { CLIP } = support;
const SELF = { name: "aivideo-mcp-check", version: "1" };

export const V1 = ["TypeScript SDK v1", support.version("@modelcontextprotocol/sdk")];
const TIMEOUT = 2500; // ms; a t2v clip takes 4.75 s in the sandbox

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

/** A client, and what it could not read, such as stray text on stdout. */
function watched() {
  const client = new Client(SELF);
  const faults = [];
  client.onerror = (fault) => {
    if (!EXCUSED.some((pattern) => pattern.test(fault.message))) faults.push(fault);
  };
  return { client, faults };
}

/**
 * All that a tool can answer.
 *
 * `who` is the client and its version, `connect` connects it, `end` ends it; `mebibytes` is the size of the largest
 * picture, by default the largest that is allowed.
 */
export async function playTools(who, name, connect, end, mebibytes = 10) {
  const step = support.stepper(...who, name);
  const { client, faults } = watched();
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
  await step(`picture of ${mebibytes} MiB`, 20_000, async () => {
    await create({ model: "i2v", prompt: "sunrise", duration: 5, image: paddedPng(mebibytes * 1024 * 1024) });
  });
  await end(client, step, faults);
}

/**
 * A host that gives up, after its time-out or since its user had enough, and simply calls again with the same
 * arguments: one charge, and the video on a later call. The 60 s of the usual time-out are scaled down like the sandbox.
 */
export async function playTimeouts(who, name, transport, stderr) {
  const step = support.stepper(...who, `${name}, giving up`);
  const { client, faults } = watched();
  await client.connect(transport);
  const ways = {
    "time-out without progress": () => ({ timeout: TIMEOUT }),
    "time-out with progress": () => ({ timeout: TIMEOUT, onprogress: () => {} }),
    "the user's cancel": () => ({ signal: AbortSignal.timeout(TIMEOUT), onprogress: () => {} }),
  };
  for (const [way, options] of Object.entries(ways)) {
    const clip = { ...support.CLIP, prompt: `a cat, ${name}, ${way}` };
    const call = () => client.callTool({ name: "generate_video", arguments: clip }, undefined, options());
    const gaveUp = (fault) => {
      assert.match(`${fault}`, /Request timed out|aborted due to timeout/);
      return null;
    };
    await step(`${way}, the same call again: one charge`, 20_000, async () => {
      const before = (await support.ledger(stderr())).charges;
      assert.equal(await call().catch(gaveUp), null);
      const first = performance.now();
      for (;;) {
        const answer = await call().catch(gaveUp);
        assert.equal((await support.ledger(stderr())).charges, before + 1);
        if (answer !== null) return support.assertClip(answer.structuredContent);
        assert.ok(performance.now() - first < 10_000, "no answer in four times the usual time");
      }
    });
    await step(`delivered after ${way}, the same call once more: a second charge`, 20_000, async () => {
      const before = (await support.ledger(stderr())).charges;
      assert.equal(await call().catch(gaveUp), null);
      assert.equal((await support.ledger(stderr())).charges, before + 1);
    });
  }
  await step("nothing is asked for calls that were given up", 15_000, async () => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = (await support.ledger(stderr())).calls;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.deepEqual((await support.ledger(stderr())).calls, before);
    assert.deepEqual(faults, []);
  });
  await client.close();
}

/** A call that takes longer than the time-out, which each progress notification starts anew; the server runs at 20. */
export async function playReset(who, name, transport) {
  const step = support.stepper(...who, name);
  const { client } = watched();
  await client.connect(transport);
  await step("resetTimeoutOnProgress: 14 s within a time-out of 12 s", 30_000, async () => {
    const request = { name: "generate_video", arguments: { ...support.CLIP, prompt: "a snail" } };
    const options = { timeout: 12_000, resetTimeoutOnProgress: true, onprogress: () => {} };
    const began = performance.now();
    const answer = await client.callTool(request, undefined, options);
    assert.ok(performance.now() - began > 12_500, "it was too quick to show anything");
    assert.equal(answer.structuredContent.status, "COMPLETED");
  });
  await client.close();
}
