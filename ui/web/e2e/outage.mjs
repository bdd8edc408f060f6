// The page's server goes away and comes back.

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
    lab.ask("/after-the-outage");
    await page.waitForFunction(
      () => document.querySelector(".rows")?.textContent?.includes("/after-the-outage"),
      null,
      { timeout: 15_000 },
    );
  } finally {
    await again.stop();
  }
}
