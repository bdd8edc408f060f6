import { defineConfig } from "vite";

// `npm run dev` takes flows from a running `weir ui`.
const agent = { target: process.env.WEIR_UI ?? "http://127.0.0.1:12000", changeOrigin: false };

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    // The page's policy forbids data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": agent } },
});
