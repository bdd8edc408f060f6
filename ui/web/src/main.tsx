// The page begins here.

import "./style/base.css";
import "./style/bars.css";
import "./style/map.css";
import "./style/panels.css";
import "./style/lists.css";

import { render } from "preact";
import { listen } from "./keyboard";
import { start } from "./state";
import "./theme";
import { App } from "./view/App";

async function begin(): Promise<void> {
  // The map measures its words.
  await document.fonts.load("500 12px 'Inter Variable'").catch(() => []);
  const root = document.getElementById("app");
  if (!root) throw new Error("the page has no #app");
  render(<App />, root);
  listen();
  start();
}

void begin();
