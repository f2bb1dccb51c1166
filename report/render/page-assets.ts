/** Style and script of the page. */

export const pageStyle = (fontFamily: string): string => `
:root { color-scheme: light dark; font: 15px/1.45 ${fontFamily}; color: var(--ink); background: var(--paper);
  --ink: #222; --paper: #fff; --line: #ccc; --head: #f3f3f3; --link: #1b3a5b; --faint: #595959; --warn: #8a3b00; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #15181c; --line: #444; --head: #23282e; --link: #9cc4f0; --faint: #a8a8a8; --warn: #f0b070; }
  /* Dark becomes light and hues stay, so that each colour means on a dark page what it means on paper. */
  .figure svg.marks { filter: invert(0.92) hue-rotate(180deg) brightness(1.2); }
}
[hidden] { display: none !important; }
body { margin: 0; display: grid; grid-template: auto 1fr / 17rem minmax(0, 1fr); }
header { grid-column: 1 / 3; padding: 1rem 1.5rem; background: #1b3a5b; color: #fff; }
header h1 { margin: 0; font-size: 1.4rem; } header p { margin: 0.2rem 0 0; overflow-wrap: anywhere; }
nav { padding: 1rem 0.5rem; font-size: 0.85rem; position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; box-sizing: border-box; }
nav ul { margin: 0; padding-left: 1rem; list-style: none; } nav li { margin: 0.35rem 0; }
a { color: var(--link); }
main { padding: 0 1.5rem 3rem; min-width: 0; }
section { margin-top: 2rem; } h2 { font-size: 1.1rem; border-bottom: 1px solid var(--line); padding-bottom: 0.2rem; }
h3 { font-size: 1rem; } .lead { font-size: 1.15rem; }
figure { margin: 0; } figcaption, details { font-size: 0.85rem; color: var(--faint); max-width: 55rem; }
figcaption p, details p { margin: 0.3rem 0; overflow-wrap: anywhere; } .remark { color: var(--warn); } .remark::before { content: '⚠ '; }
summary { cursor: pointer; }
.figure, .wide { overflow-x: auto; } .figure.vega-embed { display: block; }
.figure.vega-embed.has-actions { padding-right: 0; } .figure.vega-embed summary { background: var(--paper); color: var(--ink); }
#runs-content .wide { max-height: 32rem; overflow-y: auto; } .runs th { white-space: nowrap; } .runs thead th { white-space: normal; }
thead th { position: sticky; top: 0; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 0.8rem 0; }
th, td { border: 1px solid var(--line); padding: 0.3rem 0.5rem; text-align: left; vertical-align: top; }
th { background: var(--head); } .number { text-align: right; font-variant-numeric: tabular-nums; }
.headline tbody th[scope="row"] { white-space: nowrap; } .headline th[scope="rowgroup"] { font-weight: normal; }
[class^="holds"] td:last-child::before { content: '✓ '; } [class^="does-not-hold"] td:last-child::before { content: '✗ '; }
.claims td:nth-last-child(-n+2) { white-space: nowrap; } [class^="does-not-hold"] td:last-child { font-weight: bold; }
@media (max-width: 60rem) {
  body { display: block; } nav { position: static; max-height: 12rem; } main { padding: 0 0.75rem 2rem; } th, td { padding: 0.25rem 0.35rem; }
  .headline { width: 100%; }
}
@media (max-width: 30rem) { .headline { font-size: 0.72rem; } .headline :is(th, td) { padding: 0.25rem 0.2rem; } }
@media print {
  :root { color-scheme: light; }
  nav, .figure summary { display: none; } body { display: block; } .figure, tr { break-inside: avoid; }
  /* Paper does not scroll. */
  .figure, .wide, #runs-content .wide { overflow: visible; max-height: none; } thead th { position: static; }
  .figure svg.marks { max-width: 100%; height: auto; } .runs { font-size: 0.6rem; } .runs :is(th, td) { padding: 0.1rem 0.2rem; }
}
`;

/** Draws every figure; \`document.body.dataset.drawn\` counts them, which the browser test waits for. */
export const pageScript = `
const places = [...document.querySelectorAll('[data-figure]')];
const options = {
  renderer: 'svg',
  // Nothing may leave the page: no link to the online editor.
  actions: { export: true, source: true, compiled: false, editor: false },
  i18n: words,
  // A layer without data (no repeats, nothing missing) is warned of, and is as it should be.
  logLevel: vega.Error,
};
/** On a narrow screen panels stand below each other, and what can be narrower is. */
function fitted(spec) {
  const width = document.querySelector('main').clientWidth - 24;
  if (width > 860) return spec;
  const narrow = JSON.parse(JSON.stringify(spec), (key, value) =>
    key === 'legend' && value !== null && typeof value === 'object' ? { ...value, columns: 1, titleOrient: 'top' } : value);
  const { facet, spec: panel, usermeta } = narrow;
  if (facet?.column !== undefined && facet.row === undefined) {
    narrow.facet = facet.column;
    narrow.columns = 1;
  }
  const narrowed = (plot, beside) => { plot.width = Math.max(180, Math.min(plot.width, width - beside)); };
  if (usermeta?.stretches && panel !== undefined) narrowed(panel, 100);
  for (const plot of narrow.vconcat ?? []) narrowed(plot, 210);
  return narrow;
}
/** With names for who hears the page. */
async function draw(place, spec, title, caption) {
  const result = await vegaEmbed(place, fitted(spec), options);
  for (const attribute of ['role', 'aria-roledescription', 'aria-label']) result.view.container().removeAttribute(attribute);
  const graphic = place.querySelector('svg.marks');
  graphic.setAttribute('role', 'img');
  graphic.setAttribute('aria-label', title);
  if (caption !== undefined) graphic.setAttribute('aria-describedby', caption);
  place.querySelector('summary')?.setAttribute('aria-label', words.CLICK_TO_VIEW_ACTIONS + ': ' + title);
  return result;
}
(async () => {
  let drawn = 0;
  for (const place of places) {
    const name = place.dataset.figure;
    if (figures[name] === undefined) continue;
    try {
      await draw(place, figures[name].spec, figures[name].title, name + '-caption');
      document.body.dataset.drawn = String(++drawn);
    } catch (error) {
      place.textContent = String(error);
      console.error(name, error);
    }
  }
})();
`;
