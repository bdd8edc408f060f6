// What the page must do beside the workshop's lab, in this order. Nothing waits for a fixed time.

import assert from "node:assert/strict";
import { lab } from "./weir.mjs";

const DENIED = '.arrow.denied[data-arrow*="sleep→default/Deployment/httpbin"]';

/** Until it holds, or 15 s have gone. */
async function until(page, what, holds, argument) {
  await page.waitForFunction(holds, argument, { timeout: 15_000 }).catch(() => {
    throw new Error(`not after 15 s: ${what}`);
  });
}

const names = (page) => page.locator(".node .name").allTextContents();
const rows = (page) => page.locator(".rows .row").count();
const detail = (page) => page.locator(".details").innerText();

export const checks = {
  "the map shows the lab": async (page) => {
    await page.waitForSelector(DENIED, { state: "attached", timeout: 15_000 });
    assert.deepEqual((await names(page)).sort(), ["coredns", "httpbin", "sleep"]);
    const groups = await page.locator(".group text").allTextContents();
    assert.deepEqual(groups.sort(), ["default", "kube-system"]);
    const allowed = page.locator('.arrow.allowed[data-arrow*="httpbin"]');
    const said = await allowed.getAttribute("aria-label");
    assert.match(
      said ?? "",
      /Allowed: default\/sleep to default\/httpbin, GET \/headers, 2 requests/,
    );
    assert.match(await page.locator(".mood").innerText(), /Live/);
    assert.equal(await page.locator(".source").innerText(), `lab ${lab.name}`);
  },

  "an arrow tells what its flows carried": async (page) => {
    await page.locator('.arrow.allowed[data-arrow*="httpbin"]').dispatchEvent("click");
    await until(page, "packets and bytes", () =>
      /packets, .* there, .* packets, .* back/.test(
        document.querySelector(".details .carried")?.textContent ?? "",
      ),
    );
    await page.keyboard.press("Escape");
    await page.waitForSelector(".details", { state: "detached" });
  },

  "a denied arrow says why": async (page) => {
    await page.locator(`.chip.denied`).click();
    await page.waitForSelector(".details");
    const text = await detail(page);
    for (const wanted of [
      "allow-get-headers",
      "CiliumNetworkPolicy in default",
      "Nearest miss",
      "/ip",
      "403",
      "POST",
    ])
      assert.ok(text.includes(wanted), `${wanted} is missing in: ${text}`);
    assert.equal(await page.locator(".details .tag.denied").count(), 1);
    await page.keyboard.press("Escape");
    await page.waitForSelector(".details", { state: "detached" });
  },

  "what happens shows by itself": async (page) => {
    assert.equal(lab.ask("/anything/new"), "403");
    await until(page, "the request in the table", () =>
      document.querySelector(".rows")?.textContent?.includes("/anything/new"),
    );
    // A screen reader says it.
    await until(page, "the new denial, said", () =>
      document
        .querySelector('[role="log"]')
        ?.textContent?.includes("default/sleep to default/httpbin"),
    );
  },

  "the keys work": async (page) => {
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "find");
    await page.keyboard.type("anything/new");
    // Question and answer are one.
    await until(page, "one row", () => document.querySelectorAll(".rows .row").length === 1);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await until(page, "all rows again", () => document.querySelectorAll(".rows .row").length > 2);

    const chosen = () => page.locator(".node.chosen .name").textContent();
    await page.keyboard.press("ArrowRight");
    assert.equal(await chosen(), "sleep");
    await page.keyboard.press("ArrowRight");
    assert.equal(await chosen(), "httpbin");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(".node.chosen").count(), 0);

    await page.keyboard.press("?");
    await page.waitForSelector("dialog.help[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog.help[open]", { state: "detached" });

    await page.keyboard.press("d");
    assert.match(await detail(page), /allow-get-headers/);
    await page.keyboard.press("Escape");

    await page.locator(".table").focus();
    await page.keyboard.press("ArrowDown");
    const first = await page.locator(".row.chosen").getAttribute("data-flow");
    await page.keyboard.press("ArrowDown");
    const second = await page.locator(".row.chosen").getAttribute("data-flow");
    assert.ok(first && second && first !== second);
    assert.match(await detail(page), /As the observer tells it/);
    await page.keyboard.press("Escape");
  },

  "filters are the server's": async (page) => {
    const asked = page.waitForRequest((request) => /namespace=kube-system/.test(request.url()));
    await page.locator("#namespace").selectOption("kube-system");
    await asked;
    await until(page, "no httpbin", () => {
      const found = [...document.querySelectorAll(".node .name")].map((one) => one.textContent);
      return found.includes("coredns") && !found.includes("httpbin");
    });
    assert.match(page.url(), /#namespace=kube-system/);
    await page.getByRole("button", { name: "Clear" }).click();
    await page.waitForSelector(DENIED, { state: "attached" });

    await page.locator("#status").fill("nonsense");
    assert.equal(await page.locator("#status").getAttribute("aria-invalid"), "true");
    await page.locator("#status").fill("403");
    await until(page, "only what was answered with 403", () => {
      const arrows = [...document.querySelectorAll(".arrow")];
      return arrows.length === 1 && arrows[0]?.classList.contains("denied");
    });
    await page.getByRole("button", { name: "Clear" }).click();

    await page.getByRole("button", { name: /^Allowed/ }).click();
    await until(
      page,
      "nothing denied",
      () => document.querySelector(".arrow.allowed") && !document.querySelector(".arrow.denied"),
    );
    await page.getByRole("button", { name: "Clear" }).click();
    await page.locator("#protocol").selectOption("http");
    await until(page, "no DNS", () => {
      const found = [...document.querySelectorAll(".node .name")].map((one) => one.textContent);
      return found.includes("httpbin") && !found.includes("coredns");
    });
    await page.getByRole("button", { name: "Clear" }).click();
    await until(page, "DNS again", () => document.querySelectorAll(".node").length === 3);
  },

  "requests are counted": async (page) => {
    await page.keyboard.press("h");
    // The filter before has just gone: its flows come in several pieces.
    await until(page, "all requests", () => {
      const rows = [...document.querySelectorAll(".http tbody tr")];
      return rows.some((row) => /GET\s+\/headers\s+200\s+2\s/.test(row.innerText));
    });
    const cells = await page
      .locator(".http tbody tr")
      .evaluateAll((all) =>
        all.map((row) => [...row.cells].slice(1, 5).map((cell) => cell.innerText.trim())),
      );
    const found = Object.fromEntries(
      cells.map(([what, ...rest]) => [what.replace(/\s+/g, " "), rest]),
    );
    assert.deepEqual(found["GET /headers"], ["200", "2", "2"]);
    assert.deepEqual(found["GET /ip"], ["403", "1", "1"]);
    assert.deepEqual(found["POST /post"], ["403", "1", "1"]);
    await page.keyboard.press("f");
  },

  "a pause holds the picture": async (page) => {
    await page.keyboard.press("p");
    assert.match(await page.locator(".mood").innerText(), /Paused/);
    const before = await rows(page);
    lab.ask("/while-paused");
    await until(page, "what waits", () =>
      /new/.test(document.querySelector(".mood")?.textContent ?? ""),
    );
    assert.equal(await rows(page), before);
    await page.keyboard.press("p");
    await until(page, "what waited", () =>
      document.querySelector(".rows")?.textContent?.includes("/while-paused"),
    );
  },

  "colours follow the system and the user": async (page) => {
    const back = () =>
      page.evaluate(() => getComputedStyle(document.body.parentElement).backgroundColor);
    const light = await back();
    await page.emulateMedia({ colorScheme: "dark" });
    await until(
      page,
      "dark colours",
      (was) => getComputedStyle(document.documentElement).backgroundColor !== was,
      light,
    );
    await page.keyboard.press("t");
    assert.equal(await back(), light);
    await page.keyboard.press("t");
    assert.notEqual(await back(), light);
    await page.emulateMedia({ colorScheme: "light" });
    await page.keyboard.press("t");
    assert.equal(await back(), light);
  },
};
