/**
 * What the host and the guest agent say to each other over a virtio-serial port.
 *
 * A request is a line of JSON. An answer is a line "POOLSHIFT <id> <JSON>", followed by `byteLength` bytes where the
 * JSON says so. The channel has no connections: when the host's end is closed in mid-answer, the rest of that answer
 * comes out at the next client, and half a request may lie before its own. So each side finds its place again:
 *  - the client makes up an id and skips everything up to the marker line that carries it;
 *  - a request starts with a line feed of its own, and the agent ignores lines that it cannot read.
 *
 * Used on both sides: Node 18 in the guest, so nothing newer here.
 */

/** The port's name, as QEMU's `virtserialport,name=` gives it; the guest finds it in /dev/virtio-ports. */
export const agentPortName = 'poolshift.agent.0';

/** `checkpoint`: have the server write its dirty pages first, so that more pages are equal to the disk. */
type Cleaning = 'none' | 'checkpoint';

export type AgentRequest =
  | { readonly id: string; readonly request: 'status' }
  | ({ readonly id: string; readonly request: 'list' } & ListRequest);

export interface ListRequest {
  readonly clean: Cleaning;
  /** Whether hot pages come before cold ones. Agents that do not know of it give a list in storage order. */
  readonly hotFirst: boolean;
}

/** What the line of an answer says. `working` comes at once and is followed by another answer to the same request. */
export type AnswerHeader =
  | { readonly status: 'working' }
  | { readonly status: 'error'; readonly code: string; readonly message: string }
  | { readonly status: 'agent'; readonly agent: AgentStatus }
  | {
      readonly status: 'list';
      /** Bytes of the encoded page list after this line. */
      readonly byteLength: number;
      /** Time spent on `clean: 'checkpoint'`. */
      readonly cleanMs: number;
      /** From reading the request to having the bytes. */
      readonly totalMs: number;
    };

export interface AgentStatus {
  readonly agentVersion: string;
  readonly nodeVersion: string;
  readonly residentBytes: number;
  /** Of the guest. */
  readonly pageCacheBytes: number;
  /** The servers that the agent sees, "mariadb 10.11.19-MariaDB (pid 123)". */
  readonly servers: readonly string[];
}

const maxRequestBytes = 4096;
const maxHeaderBytes = 64 * 1024;
const lineFeed = 0x0a;

export function formatRequest(request: AgentRequest): Buffer {
  return Buffer.from(`\n${JSON.stringify(request)}\n`, 'utf8');
}

export function formatAnswer(id: string, header: AnswerHeader): Buffer {
  return Buffer.from(`${marker(id)}${JSON.stringify(header)}\n`, 'utf8');
}

function marker(id: string): string {
  return `\nPOOLSHIFT ${id} `;
}

/** The agent's side: takes bytes as they come, gives back requests. Lines that are no request are dropped. */
export class RequestReader {
  private line: number[] = [];
  private overlong = false;

  push(chunk: Uint8Array): AgentRequest[] {
    const requests: AgentRequest[] = [];
    for (const byte of chunk) {
      if (byte !== lineFeed) {
        if (this.line.length < maxRequestBytes) this.line.push(byte);
        else this.overlong = true;
        continue;
      }
      const request = this.overlong ? undefined : parseRequest(Buffer.from(this.line).toString('utf8'));
      if (request !== undefined) requests.push(request);
      this.line = [];
      this.overlong = false;
    }
    return requests;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function parseRequest(line: string): AgentRequest | undefined {
  const { id, request, clean = 'none', hotFirst } = parseFields(line);
  if (typeof id !== 'string' || !/^[\w-]{1,64}$/.test(id)) return undefined;
  if (request === 'status') return { id, request };
  if (request === 'list' && (clean === 'none' || clean === 'checkpoint'))
    return { id, request, clean, hotFirst: hotFirst === true };
  return undefined;
}

export type AnswerEvent =
  | { readonly kind: 'header'; readonly header: AnswerHeader }
  | { readonly kind: 'list'; readonly bytes: Buffer }
  | { readonly kind: 'invalid'; readonly reason: string };

type AnswerState =
  | { readonly at: 'marker' }
  | { readonly at: 'header' }
  | { readonly at: 'list'; readonly bytes: Buffer; missingBytes: number }
  | { readonly at: 'end' };

/** The host's side: finds the answer to one request in whatever else the channel holds. */
export class AnswerReader {
  private readonly marker: Buffer;
  private readonly maxListBytes: number;
  private state: AnswerState = { at: 'marker' };
  private pending: Buffer = Buffer.alloc(0);

  constructor(id: string, maxListBytes: number) {
    this.marker = Buffer.from(marker(id), 'utf8');
    this.maxListBytes = maxListBytes;
  }

  /** The bytes still to come, or undefined before they are known. */
  get missingListBytes(): number | undefined {
    return this.state.at === 'list' ? this.state.missingBytes : undefined;
  }

  push(chunk: Buffer): AnswerEvent[] {
    const events: AnswerEvent[] = [];
    let rest = chunk;
    while (rest.length > 0 && this.state.at !== 'end') {
      if (this.state.at === 'list') rest = this.takeListBytes(this.state, rest, events);
      else rest = this.takeText(rest, events);
    }
    return events;
  }

  private takeListBytes(
    state: Extract<AnswerState, { at: 'list' }>,
    chunk: Buffer,
    events: AnswerEvent[],
  ): Buffer {
    const { bytes } = state;
    const taken = chunk.copy(bytes, bytes.length - state.missingBytes);
    state.missingBytes -= taken;
    if (state.missingBytes === 0) {
      this.state = { at: 'end' };
      events.push({ kind: 'list', bytes });
    }
    return chunk.subarray(taken);
  }

  /** Looks for the marker, then for the end of its line. Gives back what is not yet looked at. */
  private takeText(chunk: Buffer, events: AnswerEvent[]): Buffer {
    const text = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    this.pending = Buffer.alloc(0);
    if (this.state.at === 'marker') {
      const found = text.indexOf(this.marker);
      if (found < 0) {
        this.pending = text.subarray(Math.max(0, text.length - this.marker.length + 1));
        return Buffer.alloc(0);
      }
      this.state = { at: 'header' };
      return text.subarray(found + this.marker.length);
    }
    const end = text.indexOf(lineFeed);
    if (end < 0 || end > maxHeaderBytes) {
      if (text.length > maxHeaderBytes) return this.fail('its first line does not end', events);
      this.pending = text;
      return Buffer.alloc(0);
    }
    const header = parseHeader(text.subarray(0, end).toString('utf8'));
    if (header === undefined) return this.fail('its first line is not an answer', events);
    if (header.status === 'list' && header.byteLength > this.maxListBytes) {
      return this.fail(
        `it is ${header.byteLength} bytes long, and at most ${this.maxListBytes} are allowed`,
        events,
      );
    }
    events.push({ kind: 'header', header });
    if (header.status === 'working') this.state = { at: 'marker' };
    else if (header.status === 'list') {
      const { byteLength } = header;
      this.state = { at: 'list', bytes: Buffer.allocUnsafeSlow(byteLength), missingBytes: byteLength };
    } else this.state = { at: 'end' };
    // The marker begins with the line feed that ended this line when another answer follows directly.
    return text.subarray(header.status === 'working' ? end : end + 1);
  }

  private fail(reason: string, events: AnswerEvent[]): Buffer {
    this.state = { at: 'end' };
    events.push({ kind: 'invalid', reason });
    return Buffer.alloc(0);
  }
}

function parseHeader(line: string): AnswerHeader | undefined {
  const fields = parseFields(line);
  switch (fields['status']) {
    case 'working':
      return { status: 'working' };
    case 'error': {
      const { code, message } = fields;
      return typeof code === 'string' && typeof message === 'string'
        ? { status: 'error', code, message }
        : undefined;
    }
    case 'agent':
      return parseStatus(fields['agent']);
    case 'list': {
      const { byteLength, cleanMs, totalMs } = fields;
      if (typeof byteLength !== 'number' || !Number.isSafeInteger(byteLength) || byteLength <= 0)
        return undefined;
      if (typeof cleanMs !== 'number' || typeof totalMs !== 'number') return undefined;
      return { status: 'list', byteLength, cleanMs, totalMs };
    }
    default:
      return undefined;
  }
}

function parseStatus(value: unknown): AnswerHeader | undefined {
  const { agentVersion, nodeVersion, residentBytes, pageCacheBytes, servers } = fieldsOf(value);
  if (typeof agentVersion !== 'string' || typeof nodeVersion !== 'string') return undefined;
  if (typeof residentBytes !== 'number' || typeof pageCacheBytes !== 'number') return undefined;
  if (!Array.isArray(servers)) return undefined;
  const names = servers.filter((server): server is string => typeof server === 'string');
  return {
    status: 'agent',
    agent: { agentVersion, nodeVersion, residentBytes, pageCacheBytes, servers: names },
  };
}

/** None where the line is not JSON. */
function parseFields(line: string): Fields {
  try {
    return fieldsOf(JSON.parse(line));
  } catch {
    return {};
  }
}

/** None where it is no object. */
function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
