/** A table that scrolls by itself where it is wider than the page; the keyboard reaches it, too. Pure. */
import { escapeHtml } from './escape-html.ts';

/** @param name for who hears the page */
export const wideTable = (name: string, table: string): string =>
  `<div class="wide" tabindex="0" role="region" aria-label="${escapeHtml(name)}">${table}</div>`;
