/** The report's page of a set that grows: what goes on stands first, and a script asks for news. */
import { pageOf } from '../render/page.ts';
import type { RunSet } from '../record/read-set.ts';
import { runningFigureNames } from './live-set.ts';

/** The figures of a run that goes on are drawn anew this often. */
const pollMs = 1000;

const style = `
#running { border-left: 4px solid #e08a00; padding-left: 1rem; }
#running-status { font-weight: bold; } #running-status.lost { color: #a40000; }
#running .figure:empty { display: none; }
`;

const before = `<section id="running"><h2>Running now</h2>
<p id="running-status" role="status">…</p>
${runningFigureNames.map((name) => `<div class="figure" data-running="${name}" data-title="Running now: ${name}"></div>`).join('\n')}
</section>
`;

/** \`document.body.dataset.updates\` counts answers that were drawn, which the browser test waits for. */
const script = `
const shownSpecs = new Map();
const embedded = new Map();
/** Draws beside the page and then changes places, so that nothing flickers. One that is pointed at, or zoomed, waits. */
async function redraw(place, spec, title, caption) {
  const text = spec === undefined ? '' : JSON.stringify(spec);
  if (shownSpecs.get(place) === text || place.matches(':hover')) return;
  const fresh = document.createElement('div');
  const result = spec === undefined ? undefined : await draw(fresh, spec, title, caption);
  place.replaceChildren(...(result === undefined ? [] : [fresh]));
  embedded.get(place)?.finalize();
  embedded.set(place, result);
  shownSpecs.set(place, text);
}
const minutes = (ms) => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return Math.floor(seconds / 60) + ':' + String(seconds % 60).padStart(2, '0');
};
function statusText({ running, progress }) {
  const done = progress === null ? '' : progress.done + ' of ' + progress.planned + ' runs done. ';
  if (running === null) return done + 'No run in progress.';
  const step = running.step === '' ? 'between steps' : running.step + ' ' + minutes(running.elapsedMs.step);
  const figures = running.figuresLine === '' ? '' : ', ' + running.figuresLine;
  return done + running.name + ' ' + minutes(running.elapsedMs.run) + ': ' + step + figures;
}
let version = '';
async function update() {
  const status = document.querySelector('#running-status');
  const response = await fetch('/live.json?version=' + encodeURIComponent(version), { cache: 'no-store' });
  if (!response.ok) throw new Error(await response.text());
  const news = await response.json();
  status.classList.remove('lost');
  status.textContent = statusText(news);
  for (const place of document.querySelectorAll('[data-running]'))
    await redraw(place, news.running?.figures[place.dataset.running], place.dataset.title);
  if (news.set !== undefined) {
    document.querySelector('#results-content').innerHTML = news.set.results;
    document.querySelector('#claims-content').innerHTML = news.set.claims;
    document.querySelector('#runs-content').innerHTML = news.set.runs;
    for (const place of places) {
      const name = place.dataset.figure;
      const figure = news.set.figures[name];
      document.getElementById(name).hidden = figure === undefined;
      document.querySelector('nav a[href="#' + name + '"]').parentElement.hidden = figure === undefined;
      document.getElementById(name + '-caption').innerHTML = figure?.caption ?? '';
      await redraw(place, figure?.spec, figure?.title, name + '-caption');
    }
    const isShown = (place) => {
      const spec = news.set.figures[place.dataset.figure]?.spec;
      return (shownSpecs.get(place) ?? '') === (spec === undefined ? '' : JSON.stringify(spec));
    };
    // What was pointed at has not been drawn: ask for it again.
    if (places.every(isShown)) version = news.version;
  }
  document.body.dataset.updates = String(Number(document.body.dataset.updates ?? 0) + 1);
}
(async () => {
  for (;;) {
    await update().catch((error) => {
      const status = document.querySelector('#running-status');
      status.classList.add('lost');
      status.textContent = 'No news, the command may have ended: ' + error.message;
    });
    await new Promise((resolve) => setTimeout(resolve, ${pollMs}));
  }
})();
`;

export async function livePage(set: RunSet): Promise<string> {
  return await pageOf(set, 'en', { before, script, style });
}
