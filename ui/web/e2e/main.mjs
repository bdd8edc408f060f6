// All of it: the page beside a lab, then the page with 200 workloads.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isUsable } from "./access.mjs";
import { open } from "./browser.mjs";
import { checks } from "./checks.mjs";
import { five } from "./five.mjs";
import { large } from "./large.mjs";
import { write } from "./many.mjs";
import { comesBack } from "./outage.mjs";
import { foresees } from "./pending.mjs";
import { pictures } from "./pictures.mjs";
import { small } from "./small.mjs";
import { lab, serve } from "./weir.mjs";

const [option, folder] = process.argv.slice(2);
if (option && (option !== "--pictures" || !folder)) {
  console.error("usage: checks/ui.sh [--pictures DIR]");
  process.exit(2);
}
if (folder) await mkdir(folder, { recursive: true });

async function besideLab() {
  lab.up();
  assert.deepEqual(
    ["/headers", "/headers", "/ip"].map((path) => lab.ask(path)),
    ["200", "200", "403"],
  );
  assert.equal(lab.ask("/post", "POST"), "403");
  const server = await serve("--lab", lab.name, "--listen", "127.0.0.1:0");
  const place = await mkdtemp(join(tmpdir(), "weir-pending-"));
  const { page, complaints, close } = await open(server.url);
  try {
    for (const [name, check] of Object.entries(checks)) {
      await check(page).catch((error) => {
        error.message = `${name}: ${error.message}`;
        throw error;
      });
    }
    await isUsable(page);
    await foresees(page, place);
    assert.deepEqual(complaints, [], "what the browser complains of");
    if (folder) await pictures(page, folder);
    await comesBack(page, server);
  } catch (error) {
    await page.screenshot({ path: join(tmpdir(), "weir-check-ui.png") });
    console.error(`the page as it was: ${join(tmpdir(), "weir-check-ui.png")}`);
    throw error;
  } finally {
    await close();
    await server.stop();
    await rm(place, { recursive: true });
    lab.down();
  }
  console.log(
    "the page shows the lab's traffic, why a part was denied, and what would change that",
  );
}

async function withMany() {
  const place = await mkdtemp(join(tmpdir(), "weir-many-"));
  const file = join(place, "many.jsonl");
  const wanted = await write(file, 6000);
  const server = await serve("--input-file", file, "--listen", "127.0.0.1:0");
  const { page, complaints, close } = await open(server.url);
  try {
    await large(page, wanted, folder);
    assert.deepEqual(complaints, [], "what the browser complains of");
  } finally {
    await close();
    await server.stop();
    await rm(place, { recursive: true });
  }
}

async function withFive() {
  const place = await mkdtemp(join(tmpdir(), "weir-five-"));
  const file = join(place, "five.jsonl");
  const lines = five();
  await writeFile(file, `${lines.join("\n")}\n`);
  const server = await serve("--input-file", file, "--listen", "127.0.0.1:0");
  const { page, complaints, close } = await open(server.url);
  try {
    await small(page, lines.length);
    assert.deepEqual(complaints, [], "what the browser complains of");
    if (folder) await page.screenshot({ path: join(folder, "five.png") });
  } finally {
    await close();
    await server.stop();
    await rm(place, { recursive: true });
  }
}

await withFive();
await besideLab();
await withMany();
