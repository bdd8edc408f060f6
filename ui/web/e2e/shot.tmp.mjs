import { open } from "./browser.mjs";

const [url, out, scheme = "light", ...acts] = process.argv.slice(2);
const { page, complaints, close } = await open(url, { colorScheme: scheme });
await page.waitForSelector(".node, .empty:not(.quiet)", { timeout: 10000 }).catch(() => {});
await page.waitForTimeout(700);
for (const act of acts) {
  await page.keyboard.press(act);
  await page.waitForTimeout(300);
}
await page.screenshot({ path: out });
console.log(complaints.join("\n"));
await close();
