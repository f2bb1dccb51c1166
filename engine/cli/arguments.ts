/** Readers of command line values. */
import { InvalidArgumentError } from 'commander';

/** Longest path that a socket's address holds (unix(7)), without the zero at its end. */
const maxSocketPathBytes = 107;

/** `unix:PATH`. */
export function unixPath(text: string): string {
  if (!text.startsWith('unix:') || text.length === 'unix:'.length) {
    throw new InvalidArgumentError('It must be unix:PATH.');
  }
  const path = text.slice('unix:'.length);
  const beyond = Buffer.byteLength(path) - maxSocketPathBytes;
  if (beyond > 0) throw new InvalidArgumentError(`The path is ${beyond} bytes too long for a socket.`);
  return path;
}

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, with brackets around an IPv6 address. */
export function tcpAddress(text: string): TcpAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) throw new InvalidArgumentError('It must be HOST:PORT.');
  return { host, port };
}

const multiples: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

function quantity(text: string, unit: RegExp, meaning: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)(.*)$/i.exec(text);
  const value = Number(match?.[1]) * (multiples[match?.[2]?.toLowerCase() ?? ''] ?? NaN);
  if (match === null || !unit.test(match[3] ?? '') || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`It must be ${meaning}.`);
  }
  return value;
}

/** `10gbit`, `250Mbit`; a number alone is bits per second. */
export function bitsPerSecond(text: string): number {
  const rate = quantity(text, /^(bit)?$/i, 'a rate such as 10gbit');
  if (rate === 0) throw new InvalidArgumentError('It must be more than 0.');
  return rate;
}

/** `15M`, `1.2GB`; multiples of 1000. */
export function bytes(text: string): number {
  return quantity(text, /^B?$/i, 'bytes, such as 15M');
}

/** 0 to 1. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError('It must be a share, from 0 to 1.');
  }
  return value;
}

/** A number of at least `min`, and at most `max`. */
export function number(min: number, max = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
      const limit = max === Infinity ? '' : ` and ${max} at most`;
      throw new InvalidArgumentError(`It must be a number of at least ${min}${limit}.`);
    }
    return value;
  };
}

/** Seconds, up to a day: a timer of Node takes no more than 24 days, and fires at once beyond. */
export function seconds(min: number): (text: string) => number {
  return number(min, 86_400);
}
