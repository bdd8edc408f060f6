// Whether the page can be used without a mouse, and read: axe's rules, in both colours.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { settled } from "./browser.mjs";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

export async function isUsable(page) {
  for (const act of ["", "d", "t"]) {
    if (act) await page.keyboard.press(act);
    await isFlawless(page, `after ${act || "nothing"}`);
  }
  await page.keyboard.press("t");
  await page.keyboard.press("Escape");
}

/** The page as it is now. */
export async function isFlawless(page, when) {
  // Not as a script of the page: its policy forbids that, and shall.
  await page.evaluate(await readFile(axe, "utf8"));
  // Fading colours have no contrast of their own.
  await settled(page);
  const { violations } = await page.evaluate(() =>
    window.axe.run(
      { exclude: [".faded"] },
      // A workload's name is drawn twice, for two distances, and spoken once.
      { rules: { "label-content-name-mismatch": { enabled: false } } },
    ),
  );
  const said = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`,
  );
  assert.deepEqual(said, [], when);
}
