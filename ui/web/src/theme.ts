// Light or dark: as the system has it, until the user chooses.

import { effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";

const KEY = "weir-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const system = (): Theme => (dark.matches ? "dark" : "light");
const chosen = localStorage.getItem(KEY);

export const theme = signal<Theme>(chosen === "light" || chosen === "dark" ? chosen : system());

dark.addEventListener("change", () => {
  if (!localStorage.getItem(KEY)) theme.value = system();
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

export function toggleTheme(): void {
  theme.value = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, theme.value);
}
