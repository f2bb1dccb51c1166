/** How a command tells what happens: lines for people, or JSON lines for programs. */
import { cleanJson, cleanText, fitting, type Terminal } from '../engine/cli/clean-text.ts';
import { findingLines, type Finding } from './checks.ts';
import { type Progress, progressLine } from './progress.ts';
import { type Summary, summaryTable } from './summary.ts';

export interface Reporter {
  findings(findings: readonly Finding[]): void;
  note(text: string): void;
  progress(progress: Progress): void;
  end(id: string, summary: Summary): void;
}

const plainIntervalMs = 5000;

/**
 * Progress overwrites itself on a terminal; elsewhere it is a line now and then.
 * @param name of one VM among several, before each line
 */
export function textReporter(
  write: (text: string) => void,
  terminal: Terminal | undefined,
  name?: string,
): Reporter {
  const prefix = name === undefined ? '' : `${name}: `;
  let shownMs = -Infinity;
  let open = false;
  const line = (text: string): void => {
    write(`${open ? '\r\u001b[K' : ''}${cleanText(prefix + text)}\n`);
    open = false;
  };
  return {
    findings: (findings) => {
      for (const text of findingLines(findings)) line(text);
    },
    note: line,
    progress: (progress) => {
      const text = progressLine(progress);
      if (terminal !== undefined) {
        write(`\r${fitting(cleanText(prefix + text), terminal)}\u001b[K`);
        open = true;
      } else if (progress.elapsedMs - shownMs >= plainIntervalMs) {
        shownMs = progress.elapsedMs;
        line(text);
      }
    },
    end: (_id, summary) => {
      for (const text of summaryTable(summary)) line(text);
    },
  };
}

/** @param name of one VM among several, in each line */
export function jsonReporter(write: (text: string) => void, name?: string): Reporter {
  const vm = name === undefined ? {} : { vm: name };
  const line = (event: string, fields: object): void => {
    write(`${cleanJson(JSON.stringify({ event, time: new Date().toISOString(), ...vm, ...fields }))}\n`);
  };
  return {
    findings: (findings) => {
      for (const finding of findings) line('check', finding);
    },
    note: (text) => {
      line('note', { text });
    },
    progress: (progress) => {
      line('progress', progress);
    },
    end: (id, summary) => {
      line('end', { id, ...summary });
    },
  };
}
