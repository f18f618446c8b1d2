// How long a chart of the console takes to be redrawn: three months of five-minute slots, four lines,
// in Debian's Chromium. Medians and the longest, for docs/statistics.md; nothing is asserted.
//
//   HAWSER_TEST_DEPS=target/test-deps node loadtest/console/drawing.mjs [slots] [rounds]
//
// "script" is the drawing until the canvas has its pixels (they are read back); "frame" goes on until
// the browser has shown them. Not here: how long the edge takes to answer (benches/statistics.rs).

import { readFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const [slots = 26_784, rounds = 40] = process.argv.slice(2).map(Number);
const deps = path.resolve(process.env.HAWSER_TEST_DEPS ?? "target/test-deps");
const { chromium } = createRequire(`${deps}/node/`)("playwright-core");
const assets = path.resolve(import.meta.dirname, "../../src/control/console/assets");

const PAGE = `<!doctype html><meta charset="utf-8"><title>Drawing</title>
<link rel="stylesheet" href="/vendor/uPlot.min.css"><link rel="stylesheet" href="/console.css">
<link rel="stylesheet" href="/statistics.css"><script src="/vendor/uPlot.iife.min.js"></script>
<main><figure class="chart"><div class="plot" data-plot></div><ul class="legend" data-legend></ul></figure></main>`;
const KINDS = { ".js": "text/javascript", ".css": "text/css" };

const server = http.createServer(async (request, response) => {
  try {
    const isPage = request.url === "/";
    const body = isPage ? PAGE : await readFile(path.join(assets, path.normalize(request.url)));
    const kind = isPage ? "text/html" : (KINDS[path.extname(request.url)] ?? "text/plain");
    response.writeHead(200, { "Content-Type": kind }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
await page.goto(`http://127.0.0.1:${server.address().port}/`);

const measured = await page.evaluate(
  async ({ slots, rounds }) => {
    const { draw, redraw } = await import("/chart.js");
    let seed = 1;
    const chance = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    const line = (n) => ({
      label: `Line ${n}`,
      colour: `series-${n}`,
      dashed: n % 2 === 0,
      adds: true,
      values: Array.from({ length: slots }, (_, i) =>
        Math.round(1e9 * n * (1.2 + Math.sin(i / 46)) * (0.9 + 0.2 * chance())),
      ),
    });
    const spec = (kind) => ({
      title: "Traffic", unit: "bytes", kind, start: 1_787_443_200, step: 300, offset: 28_800,
      now: 1_787_443_200 + 300 * slots - 100, lines: [1, 2, 3, 4].map(line),
    });
    const figure = document.querySelector("figure");
    const shown = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    const times = async (act) => {
      const found = { script: [], frame: [] };
      for (let i = 0; i < rounds; i++) {
        await shown();
        const begun = performance.now();
        act(i);
        // uPlot draws at the end of the task; reading a pixel waits for the canvas.
        await Promise.resolve();
        figure.querySelector("canvas").getContext("2d").getImageData(0, 0, 1, 1);
        found.script.push(performance.now() - begun);
        await shown();
        found.frame.push(performance.now() - begun);
      }
      return found;
    };
    const results = {};
    for (const kind of ["lines", "stack"]) {
      const drawn = draw(figure, spec(kind));
      const other = spec(kind);
      results[`${kind}: redraw`] = await times(() => redraw(drawn));
      results[`${kind}: new values`] = await times(() => drawn.set(other));
      results[`${kind}: cursor`] = await times((i) => {
        drawn.chart().setCursor({ left: 10 + i * 20, top: 10 });
      });
      drawn.destroy();
    }
    return results;
  },
  { slots, rounds },
);

const ms = (n) => n.toFixed(1).padStart(7);
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
console.log(`${slots} slots x 4 lines, ${rounds} rounds, ${await browser.version()}, ${os.cpus()[0].model}`);
console.log("ms                     script: median    max    frame: median    max");
for (const [what, { script, frame }] of Object.entries(measured)) {
  const row = [median(script), Math.max(...script), median(frame), Math.max(...frame)].map(ms);
  console.log(`${what.padEnd(22)} ${row[0]}       ${row[1]}       ${row[2]}      ${row[3]}`);
}
await browser.close();
server.close();
