// Five workloads on three screens: that the map can be read, and what a link, the list and the keys do.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { isFlawless } from "./access.mjs";
import { settled } from "./browser.mjs";

const SCREENS = [
  [1920, 1080],
  [1280, 800],
  [390, 844],
];
/** Words smaller than this are not read, in px. */
const LEGIBLE = 9.5;
const DENIED = "shop/Deployment/web→money/Deployment/payments#denied";

export async function small(page, records) {
  for (const [width, height] of SCREENS) {
    await page.setViewportSize({ width, height });
    await page.waitForFunction(() => document.querySelectorAll(".node").length === 6);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await isFlawless(page, `axe at ${width}x${height}, ${colorScheme}`);
    }
    await legible(page, `${width}x${height}`, width > 720);
  }
  await listFirst(page);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });
  await links(page);
  await list(page, records);
  await range(page);
  await keys(page);
  await hides(page);
  console.log("five workloads: read at three sizes in both colours; links, the list, keys, hiding");
}

/** Nothing too small, nothing over another, and all of it in sight where there is room. */
async function legible(page, where, fits) {
  await settled(page);
  const found = await page.evaluate(() => {
    const seen = (one) => one.getClientRects().length > 0 && one.textContent.trim() !== "";
    const texts = [...document.querySelectorAll(".map text")].filter(seen);
    const size = (one) => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a;
    const box = (one, name) => {
      const { left, right, top, bottom } = one.getBoundingClientRect();
      return { name, left, right, top, bottom };
    };
    const boxes = [
      ...[...document.querySelectorAll(".chip rect")].map((one) =>
        box(one, one.parentElement.textContent),
      ),
      ...[...document.querySelectorAll(".node .card")].map((one) =>
        box(one, one.closest(".node").dataset.place),
      ),
      ...[...document.querySelectorAll(".group text")].map((one) => box(one, one.textContent)),
    ];
    const over = boxes.flatMap((a, index) =>
      boxes
        .slice(index + 1)
        .filter((b) => {
          const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          return wide > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
        })
        .map((b) => `${a.name} over ${b.name}`),
    );
    const map = box(document.querySelector(".map"), "map");
    const outside = boxes
      .filter(({ left, right, top, bottom }) => {
        const beside = left < map.left || right > map.right;
        return beside || top < map.top || bottom > map.bottom;
      })
      .map(({ name }) => name);
    const aside = document.documentElement.scrollWidth - window.innerWidth;
    return { least: Math.min(...texts.map(size)), over, outside, aside };
  });
  assert.ok(found.least >= LEGIBLE, `${where}: text of ${found.least} px`);
  assert.deepEqual(found.over, [], where);
  assert.ok(found.aside <= 0, `${where}: ${found.aside} px to scroll aside`);
  if (fits) assert.deepEqual(found.outside, [], `${where}: out of sight`);
}

/** On a telephone the list comes before the map. */
async function listFirst(page) {
  const top = (name) => page.locator(name).evaluate((one) => one.getBoundingClientRect().top);
  assert.ok((await top(".drawer")) < (await top(".map-area")), "the map is above the list");
  assert.match(await page.locator(".rows .c-from").first().innerText(), /.+ → .+/);
}

/** An address brings back what was chosen; that of a dashboard names an arrow its own way. */
async function links(page) {
  const shown = () => page.locator(".details h2").innerText();
  await page.locator(`[data-chip="${DENIED}"]`).click();
  await page.waitForSelector(".details");
  const address = page.url();
  assert.match(address, /from=.*web&to=.*payments&arrow=denied/);
  await page.reload();
  await page.waitForSelector(".details .reason");
  assert.match(await shown(), /web.*payments/s);
  await page.keyboard.press("Escape");
  assert.doesNotMatch(page.url(), /arrow=/);
  await page.evaluate(() => {
    location.hash = "from=shop/web&to=money/postgres-primary&verdict=denied&minutes=15";
  });
  await page.waitForSelector(".details .reason");
  assert.match(await shown(), /web.*postgres-primary/s);
  assert.match(await page.locator(".details .above").innerText(), /Denied.*1 connection,/s);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Clear" }).click();
}

/** One row for what happened once, with its records; columns; the records as a file. */
async function list(page, records) {
  const rows = page.locator(".rows .row:not(.part)");
  await page.waitForFunction(() => document.querySelector("#tab-flows span")?.textContent === "12");
  const verdicts = await page.locator(".verdict span").allInnerTexts();
  const sum = verdicts.reduce((total, text) => total + Number(text), 0);
  assert.equal(sum, 12, `the list and the verdicts count alike: ${verdicts}`);
  const row = rows.filter({ hasText: "/admin" });
  assert.match(await row.innerText(), /GET \/admin · 403 4\.2 ms/);
  assert.equal(await page.locator(".row.part").count(), 0);
  await row.getByRole("button").click();
  assert.equal(await page.locator(".row.part").count(), 3);
  assert.deepEqual(
    await page.locator(".row.part .c-judged").allInnerTexts(),
    Array(3).fill("ingress"),
  );
  await row.getByRole("button").click();
  const both = rows.filter({ hasText: "money/postgres-primary" }).first();
  assert.equal(await both.locator(".c-judged").innerText(), "egress, ingress");
  assert.match(await rows.first().innerText(), /world 203\.0\.113\.7/);

  const heads = () => page.locator(".row.head").innerText();
  assert.doesNotMatch(await heads(), /Node/);
  await page.locator(".menu summary.tool").click();
  await page.getByLabel("Node", { exact: true }).check();
  await page.getByLabel("Port", { exact: true }).uncheck();
  await page.locator(".menu summary.tool").click();
  await page.reload();
  await page.waitForSelector(".rows .row");
  assert.match(await heads(), /Node/);
  assert.doesNotMatch(await heads(), /Port/);

  await page.locator("#find").fill("-GET");
  await page.waitForFunction(() => !document.querySelector(".rows").textContent.includes("GET"));
  await page.locator("#find").fill("app=coredns");
  await page.waitForFunction(() => document.querySelectorAll(".rows .row").length === 3);
  await page.locator("#find").fill("");
  await page.waitForFunction(() => document.querySelectorAll(".rows .row").length > 3);
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export these flows" }).click();
  const saved = (await readFile(await (await download).path(), "utf8")).trim().split("\n");
  assert.equal(saved.length, records);
  assert.ok(saved.every((line) => JSON.parse(line).flow.uuid));
}

/** Tab comes to the map once, arrow keys go on, and the first is chosen with Enter. */
async function keys(page) {
  await page.locator("#find").focus();
  const focused = () =>
    page.evaluate(() => document.activeElement?.closest(".node")?.dataset.place);
  for (let presses = 0; presses < 30 && !(await focused()); presses += 1)
    await page.keyboard.press("Tab");
  assert.equal(await focused(), "shop/Deployment/web");
  await page.keyboard.press("Enter");
  await page.waitForSelector('.node.chosen[data-place="shop/Deployment/web"]');
  await page.keyboard.press("Tab");
  assert.equal(await focused(), undefined, "one stop for the whole map");
  await page.keyboard.press("Escape");
}

/** Between two times: only what happened then, and the address keeps it. */
async function range(page) {
  await page.locator("summary.own").click();
  await page.waitForFunction(() => document.querySelector('[type="datetime-local"]')?.value);
  const from = await page.getByRole("textbox", { name: "From" }).inputValue();
  await page.getByRole("textbox", { name: "To" }).fill(from);
  assert.ok(await page.getByRole("button", { name: "Show", exact: true }).isDisabled());
  // One a second: within three seconds of the first there are three.
  const oldest = await page.locator(".rows time").last().innerText();
  const day = from.slice(0, 10);
  const [h, m, s] = oldest.split(":");
  const local = new Date(`${day}T${h}:${m}:${s.slice(0, 2)}`);
  const stamp = (date) =>
    new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  await page.getByRole("textbox", { name: "From" }).fill(stamp(local));
  await page.getByRole("textbox", { name: "To" }).fill(stamp(new Date(local.getTime() + 3000)));
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll(".rows .row").length === 3);
  assert.match(page.url(), /since=.*&until=/);
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll(".rows .row").length === 3);
  await page.getByRole("button", { name: "15 min" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".rows .row").length > 3);
  assert.doesNotMatch(page.url(), /since=/);
}

async function hides(page) {
  await page.locator('.node[data-place="kube-system/Deployment/coredns"]').click();
  await page.getByRole("button", { name: "Hide it" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".node").length === 5);
  assert.match(page.url(), /text=-at%3Akube-system%2Fcoredns/);
  await page.getByRole("button", { name: "Clear" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".node").length === 6);
}
