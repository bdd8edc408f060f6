// A pending policy on the live map: what it would change of what was seen, before it is applied.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { isFlawless } from "./access.mjs";

const OPEN = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: open-httpbin }
spec:
  podSelector: { matchLabels: { app: httpbin } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: sleep } } }] }]
`;
/** Takes the place of the policy that is in force. */
const SHUT = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: allow-get-headers }
spec: { endpointSelector: { matchLabels: { app: httpbin } }, ingress: [{}] }
`;

/** The table's rows, once a question is answered. */
async function rows(page, says) {
  await page.waitForFunction(
    (wanted) => document.querySelector(".pending [role=status]")?.textContent?.includes(wanted),
    says,
    { timeout: 15_000 },
  );
  return page.locator(".pending tbody tr").allInnerTexts();
}

export async function foresees(page, folder) {
  await page.keyboard.press("w");
  const policy = page.getByLabel("Pending policy");
  await policy.fill(OPEN);
  await page.getByRole("button", { name: "What would change" }).click();
  const opened = (await rows(page, "would change")).map((text) => text.replace(/\s+/g, " "));
  for (const wanted of ["GET /ip", "POST /post"]) {
    const row = opened.find((text) => text.includes(wanted));
    assert.match(row ?? "", /^403 allowed default\/sleep-\S+ → default\/httpbin-/, wanted);
    assert.match(row ?? "", /NetworkPolicy\/default\/open-httpbin/);
  }
  assert.ok(!opened.some((text) => text.includes("GET /headers")), "what stays is not listed");
  await isFlawless(page, "with a pending policy");
  // A row leads to one of its flows.
  await page.locator(".pending tbody button").first().click();
  await page.waitForSelector(".details");
  await page.keyboard.press("Escape");

  const file = `${folder}/shut.yaml`;
  await writeFile(file, SHUT);
  await page.locator('.pending input[type="file"]').setInputFiles(file);
  await page.waitForFunction(() =>
    [...document.querySelectorAll(".pending tbody tr")].some((row) =>
      /GET \/headers/.test(row.textContent ?? ""),
    ),
  );
  const shut = await rows(page, "would change");
  assert.ok(
    shut.every((text) => text.trim().split(/\s+/)[1] === "denied"),
    shut.join("\n"),
  );

  await policy.fill(OPEN.replace("app: sleep", "app: nobody"));
  await page.getByRole("button", { name: "What would change" }).click();
  assert.deepEqual(await rows(page, "None of the flows would change"), []);
  await page.keyboard.press("Escape");
  await page.keyboard.press("f");
}
