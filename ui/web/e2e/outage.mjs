// The page's server goes away and comes back; then the agent does.

import assert from "node:assert/strict";
import { lab, serve } from "./weir.mjs";

export async function comesBack(page, server) {
  const { port } = new URL(server.url);
  await server.stop();
  await page.waitForSelector('.away[role="alert"]', { timeout: 15_000 });
  assert.match(await page.getByRole("alert").innerText(), /The source is away/);
  assert.equal(await page.locator(".node").count(), 3, "what was seen stays");
  const again = await serve("--lab", lab.name, "--listen", `127.0.0.1:${port}`);
  try {
    await page.waitForSelector('.away[role="alert"]', { state: "detached", timeout: 30_000 });
    await shows(page, "/after-the-outage");
    lab.restart();
    await shows(page, "/after-the-restart");
    await page.waitForSelector(".mood.live", { timeout: 15_000 });
  } finally {
    await again.stop();
  }
}

/** A request is made, and seen without anybody's help. */
function shows(page, path) {
  lab.ask(path);
  return page.waitForFunction(
    (wanted) => document.querySelector(".rows")?.textContent?.includes(wanted),
    path,
    { timeout: 15_000 },
  );
}
