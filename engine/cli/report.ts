/** How engine events reach people and programs: lines on a terminal, or JSON lines. */
import { inSeconds, mebibytes, milliseconds } from '../../foundation/quantity.ts';
import { cleanJson, cleanText, fitting, type Terminal } from './clean-text.ts';
import type { EngineCounters, EngineEvent, EventSink } from '../core/engine-event.ts';

/** JSON lines with a time: `t_ms` since the start of the program, `time` as a date. */
export function jsonSink(write: (line: string) => void): EventSink {
  const startMs = performance.now();
  return (event) => {
    const tMs = Math.round((performance.now() - startMs) * 10) / 10;
    write(`${cleanJson(JSON.stringify({ t_ms: tMs, time: new Date().toISOString(), ...event }))}\n`);
  };
}

/** Lines for people; progress overwrites itself on a terminal, else it is shown every few seconds. */
export function textSink(write: (text: string) => void, terminal: Terminal | undefined): EventSink {
  const startMs = performance.now();
  let shownMs = 0;
  let open = false;
  return (event) => {
    const nowMs = performance.now();
    if (event.event === 'progress') {
      if (terminal === undefined && nowMs - shownMs < 2000) return;
      shownMs = nowMs;
    }
    const time = `${inSeconds(nowMs - startMs).padStart(6)} s  `;
    const text = time + cleanText(describe(event));
    if (terminal !== undefined && event.event === 'progress') {
      write(`\r${fitting(text, terminal)}\u001b[K`);
      open = true;
      return;
    }
    write(`${open ? '\r\u001b[K' : ''}${text}\n`);
    open = false;
  };
}

function describe(event: EngineEvent): string {
  switch (event.event) {
    case 'listening':
      return `listening on ${event.address}`;
    case 'insecure-plaintext':
      return "WITHOUT TLS (--insecure-plaintext): the network can read and change the guest's memory";
    case 'stranger':
      return `${event.peer} was rejected: ${event.reason} (${event.strangers} so far)`;
    case 'connected':
      return `connected to ${event.peer}, compression ${event.compression}`;
    case 'qemu-connected':
      return `QEMU (${event.machine}) migrates ${mebibytes(event.ram_pages * 4096, 1)} in ${event.ram_blocks} RAM blocks`;
    case 'listed':
      return (
        `${event.server} lists ${event.pages_listed} pages in ${milliseconds(event.list_total_ms)}` +
        (event.pages_cold ? `, ${event.pages_cold} cold ones last` : '') +
        (event.heat_unknown ? `; which are cold is not known of ${event.heat_unknown}` : '')
      );
    case 'warning':
      return `warning: ${event.reason}`;
    case 'no-list':
      return `no page list: ${event.reason}`;
    case 'accepted':
      return `${event.pages_accepted} pages accepted, ${event.pages_already_sent} already sent; refused: ${refusals(event)}`;
    case 'storage':
      return `storage "${event.source}": ${mebibytes(event.size_bytes, 1)}`;
    case 'storage-unusable':
      return `storage "${event.source}" cannot be used: ${event.reason}`;
    case 'read-failed':
      return `storage cannot be read: ${event.reason}`;
    case 'placing':
      return event.how === 'file'
        ? "writing pages into the file behind the target's memory"
        : "writing pages into the target QEMU's address space";
    case 'not-placing':
      return `all pages go through the target QEMU's stream: ${event.reason}`;
    case 'scarce':
      return (
        `${event.what === 'link' ? 'the link' : 'CPU time'} is scarce: ` +
        `${mebibytes(event.wire_bytes_per_second, 1)}/s on the link, ${mebibytes(event.raw_bytes_per_second, 1)}/s before compression, ` +
        `destination engine busy ${event.destination_busy_percent} %, CPUs idle ${event.idle_percent} %`
      );
    case 'planned':
      return 'all listed pages are planned or sent';
    case 'first-pass-done':
      return "QEMU's first pass is done";
    case 'dirty-pass-done':
      return 'dirty pass done';
    case 'gate-held':
      return `holding the switchover (${event.by === 'agreement-withheld' ? 'ack withheld' : 'reading stalled'})`;
    case 'gate-released':
      return `switchover released after ${event.held_ms} ms`;
    case 'stream-unfilterable':
      return `passing the stream through: ${event.reason}`;
    case 'switch-over':
      return 'switchover: the VM has stopped';
    case 'progress':
      return progress(event);
    case 'done':
      return `done: ${progress(event)}`;
    case 'committed':
      return 'committed: the stream is complete and goes to the target';
    case 'may-move':
      return 'the VM may move';
    case 'moved':
      return 'the VM is at the destination; its missing pages follow';
    case 'source-free':
      return 'storage has every missing page: the source is no longer needed';
    case 'source-needed':
      return 'storage did not give every page: the source is needed again';
    case 'source-lost':
      return `the source is lost (${event.reason}); the rest comes from storage`;
    case 'faults':
      return (
        `the VM waited for ${event.faults} pages` +
        (event.faults > 0
          ? `, half of them for less than ${milliseconds(event.fault_p50_ms, 1)}, the longest for ${milliseconds(event.fault_max_ms, 1)}`
          : '')
      );
    case 'recovering':
      return `sending ${event.pages_pending} pages that are missing at the destination`;
    case 'started':
      return 'the target has everything';
    case 'waiting-for':
      return (
        `waiting for ${event.what}: ${event.seconds} s` +
        (event.limit_seconds > 0 ? ` of at most ${event.limit_seconds}` : '')
      );
    case 'signal-refused':
      return `signal ignored: ${event.reason}`;
    case 'failed':
      return `failed: ${event.reason}${withAdvice(event.advice)}`;
    case 'cancelled':
      return `cancelled: the VM is at the source${withAdvice(event.advice)}`;
    case 'incomplete':
      return `INCOMPLETE: ${event.reason}. ${event.advice}`;
    case 'in-doubt':
      return `IN DOUBT: ${event.reason}. ${event.advice}`;
  }
}

function withAdvice(advice: string | undefined): string {
  return advice === undefined ? '' : `. ${advice}`;
}

function refusals(event: Extract<EngineEvent, { event: 'accepted' }>): string {
  const reasons: readonly (readonly [string, number])[] = [
    ['beyond RAM', event.refused_beyond_ram],
    ['duplicate frame', event.refused_duplicate_frame],
    ['unknown source', event.refused_unknown_source],
    ['beyond storage', event.refused_beyond_storage],
  ];
  const some = reasons.filter(([, pages]) => pages > 0).map(([reason, pages]) => `${pages} ${reason}`);
  return some.length === 0 ? 'none' : some.join(', ');
}

function progress(counters: EngineCounters): string {
  return [
    `${mebibytes(counters.migration_link_bytes, 1)} on the migration link`,
    `${mebibytes(counters.storage_link_bytes, 1)} from storage (${mebibytes(counters.restore_rate_bytes_per_second, 1)}/s)`,
    `${counters.pages_restored} pages restored`,
    `${counters.pages_pending} pending`,
  ].join(', ');
}
