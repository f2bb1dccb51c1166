/** The key that both engines have: 32 random bytes, as a line of 64 hexadecimal digits in a file that only its owner reads. */
import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';

const keyBytes = 32;
/** The last descriptor that a program expects to be what it was started with. */
const standardError = 2;
/** More than a key and its line end, so that more than a key is seen. */
const maxBytes = 2 * keyBytes + 16;

export function makeKey(): string {
  return randomBytes(keyBytes).toString('hex');
}

/** Writes a key to a new file of mode 0600, or leaves none. @throws CodedError 'key', 'key', also where there is something already */
export function writeKey(path: string, key: string): void {
  try {
    const descriptor = openSync(path, 'wx', 0o600);
    try {
      writeFileSync(descriptor, `${key}\n`);
    } catch (cause) {
      rmSync(path);
      throw cause;
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    throw new CodedError('key', 'key', `cannot make the key file ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * Reads a key.
 *
 * @param place a path, or `fd:N` for a descriptor that was inherited; that is read and, but for a standard one, closed once it gave the key
 * @throws CodedError 'key', 'key'
 */
export function readKey(place: string): Buffer {
  const inherited = descriptorOf(place);
  try {
    const descriptor = inherited ?? openSync(place, 'r');
    const { mode } = fstatSync(descriptor);
    // What is no file, such as a pipe, has no readers by mode.
    if (inherited === undefined && (mode & 0o077) !== 0) {
      throw new CodedError(
        'key',
        'key',
        `others may read or write the key file ${place} (mode ${(mode & 0o777).toString(8).padStart(4, '0')}): ` +
          `make a new key, and chmod 600`,
      );
    }
    const key = parseKey(readText(descriptor), place);
    // What is opened next would get the number of standard input, and be read for commands: guest memory. What held no key may be
    // Node's own, where the number is wrong: without that it aborts.
    if (descriptor > standardError) closeSync(descriptor);
    return key;
  } catch (cause) {
    if (isCoded(cause, 'key')) throw cause;
    throw new CodedError('key', 'key', `cannot read the key from ${place}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** The number in `fd:N`. */
export function descriptorOf(place: string): number | undefined {
  const match = /^fd:(\d{1,6})$/.exec(place);
  return match === null ? undefined : Number(match[1]);
}

function readText(descriptor: number): string {
  const buffer = Buffer.alloc(maxBytes);
  let filled = 0;
  for (;;) {
    const read = readSync(descriptor, buffer, filled, buffer.length - filled, null);
    if (read === 0) break;
    filled += read;
    if (filled === buffer.length) break;
  }
  return buffer.toString('latin1', 0, filled);
}

function parseKey(text: string, place: string): Buffer {
  const digits = text.trimEnd();
  if (!/^[0-9a-f]{64}$/i.test(digits)) {
    const what = /^[0-9a-f]*$/i.test(digits) ? `${digits.length} hexadecimal digits` : 'something else';
    throw new CodedError(
      'key',
      'key',
      `${place} holds ${what}, not the 64 hexadecimal digits of a key: make one with "poolshift-engine key"`,
    );
  }
  return Buffer.from(digits, 'hex');
}
