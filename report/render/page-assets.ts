/** Style and script of the page. */

export const pageStyle = (fontFamily: string): string => `
:root { color-scheme: light dark; font: 15px/1.45 ${fontFamily}; color: var(--ink); background: var(--paper);
  --ink: #222; --paper: #fff; --line: #ccc; --head: #f3f3f3; --link: #1b3a5b; --faint: #595959; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #15181c; --line: #444; --head: #23282e; --link: #9cc4f0; --faint: #a8a8a8; } }
body { margin: 0; display: grid; grid-template: auto 1fr / 17rem minmax(0, 1fr); }
header { grid-column: 1 / 3; padding: 1rem 1.5rem; background: #1b3a5b; color: #fff; }
header h1 { margin: 0; font-size: 1.4rem; } header p { margin: 0.2rem 0 0; }
nav { padding: 1rem 0.5rem; font-size: 0.85rem; position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; }
nav ul { margin: 0; padding-left: 1rem; list-style: none; } nav li { margin: 0.35rem 0; }
a { color: var(--link); }
main { padding: 0 1.5rem 3rem; min-width: 0; }
section { margin-top: 2rem; } h2 { font-size: 1.1rem; border-bottom: 1px solid var(--line); padding-bottom: 0.2rem; }
.figure, .wide { overflow-x: auto; } .figure.vega-embed { display: block; } .figure { background: #fff; color: #222; }
#runs-content .wide { max-height: 32rem; overflow-y: auto; } #runs-content .wide td:first-child { white-space: nowrap; } thead th { position: sticky; top: 0; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 0.8rem 0; }
th, td { border: 1px solid var(--line); padding: 0.3rem 0.5rem; text-align: left; vertical-align: top; }
th { background: var(--head); } td.number { text-align: right; font-variant-numeric: tabular-nums; }
[class^="holds"] td:last-child::before { content: '✓ '; } [class^="does-not-hold"] td:last-child::before { content: '✗ '; }
.claims td:nth-last-child(-n+2) { white-space: nowrap; } [class^="does-not-hold"] td:last-child { font-weight: bold; } .missing td { color: var(--faint); }
@media (max-width: 60rem) { body { display: block; } nav { position: static; max-height: 12rem; } main { padding: 0 0.75rem 2rem; } }
@media print { nav { display: none; } body { display: block; } section { break-inside: avoid; } }
`;

/** Draws every figure; \`document.body.dataset.drawn\` counts them, which the browser test waits for. */
export const pageScript = `
const places = [...document.querySelectorAll('[data-figure]')];
const options = {
  renderer: 'svg',
  // Nothing may leave the page: no link to the online editor.
  actions: { export: true, source: true, compiled: false, editor: false },
  tooltip: { theme: 'light' },
  // A layer without data (no repeats, nothing missing) is warned of, and is as it should be.
  logLevel: vega.Error,
};
(async () => {
  let drawn = 0;
  for (const place of places) {
    try {
      await vegaEmbed(place, specs[place.dataset.figure], options);
      document.body.dataset.drawn = String(++drawn);
    } catch (error) {
      place.textContent = String(error);
      console.error(place.dataset.figure, error);
    }
  }
})();
`;
