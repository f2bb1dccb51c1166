/**
 * Text from guests, peers, QEMU and storage on its way to a terminal or a log: whatever moves the cursor, starts a command of
 * the terminal, begins a line, or turns the direction of writing (C0, DEL, C1, line separators, bidirectional controls) is
 * shown as an escape.
 */

const controls = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A line, or a piece of one. */
export function cleanText(text: string): string {
  return text.replace(controls, escape);
}

/** JSON that means the same: in it controls stand only within strings, or are white space that stays. */
export function cleanJson(json: string): string {
  return json.replace(controls, (character) => (character === '\n' ? character : escape(character)));
}

/** What shows lines, as `process.stdout` where that is one. */
export interface Terminal {
  /** 0 where it does not know. */
  readonly columns: number;
}

/** So much of a line as a terminal has room for: from one that goes on below no cursor comes back to its beginning. */
export function fitting(line: string, { columns }: Terminal): string {
  return columns > 0 ? line.slice(0, columns - 1) : line;
}
