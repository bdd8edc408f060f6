// The `weir` that is checked: a lab with the workshop's traffic, and `weir ui` beside it.

import { execFileSync, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const WEIR = join(ROOT, "target/debug/weir");
const S4 = join(ROOT, "lab/scenarios/s4");
const NAME = "testui";

export function weir(...words) {
  return execFileSync(WEIR, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

export const lab = {
  name: NAME,
  up() {
    this.down();
    weir("lab", "up", "--name", NAME, "-f", `${S4}/sleep.yaml`, "-f", `${S4}/httpbin.yaml`);
    weir("lab", "apply", "--name", NAME, "-f", `${S4}/policies/allow-get-headers.yaml`);
  },
  down() {
    weir("lab", "down", "--name", NAME);
  },
  /** Ends the agent and starts it again. */
  restart() {
    weir("lab", "restart", "agent", "--name", NAME);
  },
  /** A request from sleep to httpbin; gives its status. */
  ask(path, method = "GET") {
    const curl = ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "-X", method];
    const words = ["lab", "exec", "--name", NAME, "deploy/sleep", "--"];
    return weir(...words, ...curl, `httpbin:8000${path}`);
  },
};

/** Starts `weir ui`; gives the address that it prints, and what ends it. */
export function serve(...words) {
  const child = spawn(WEIR, ["ui", ...words], { stdio: ["ignore", "pipe", "inherit"] });
  const stop = () =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      child.once("exit", resolve);
      child.kill();
    });
  return new Promise((resolve, reject) => {
    let text = "";
    child.once("exit", (code) =>
      reject(new Error(`weir ui ${words.join(" ")} ended with ${code}`)),
    );
    child.stdout.on("data", (data) => {
      text += data;
      if (text.includes("\n")) resolve({ url: text.trim(), stop });
    });
  });
}
