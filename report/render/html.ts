/** Pieces of the page. Pure. */

/** Text as it may stand in HTML, between tags or in a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** JSON that may stand in a script element: nothing in it can close the element. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

/** A table that scrolls by itself where it is wider than the page; the keyboard reaches it, too. @param name for who hears the page */
export const wideTable = (name: string, table: string): string =>
  `<div class="wide" tabindex="0" role="region" aria-label="${escapeHtml(name)}">${table}</div>`;
