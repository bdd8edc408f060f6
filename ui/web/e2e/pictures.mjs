// The pictures of docs/ui.md.

import { join } from "node:path";
import { settled } from "./browser.mjs";

export async function pictures(page, folder) {
  const shot = async (name) => {
    await settled(page);
    await page.screenshot({ path: join(folder, `${name}.png`) });
  };
  await shot("map");
  await page.keyboard.press("d");
  await page.waitForSelector(".details .reason");
  await shot("denied");
  await page.keyboard.press("t");
  await shot("denied-dark");
  await page.keyboard.press("Escape");
  await page.keyboard.press("h");
  await page.waitForSelector(".http tbody tr");
  await shot("http-dark");
  await page.keyboard.press("t");
  await page.keyboard.press("f");
}
