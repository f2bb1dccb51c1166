/** Certificates for tests, made by openssl: an authority, and an end of each kind that it vouches for. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Makes a folder as `--tls-dir` takes it, for both ends.
 *
 * @param names subjectAltName of the destination's certificate, e.g. `IP:127.0.0.1`
 */
export function makeCertificates(folder: string, names: string): void {
  mkdirSync(folder);
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const authority = ['-keyout', 'ca-key.pem', '-out', 'ca-cert.pem', '-subj', '/CN=authority', '-days', '2'];
  openssl('req', '-x509', ...newKey, ...authority);
  writeFileSync(path.join(folder, 'extensions'), `subjectAltName=${names}\n`);
  for (const end of ['server', 'client']) {
    openssl('req', ...newKey, '-keyout', `${end}-key.pem`, '-out', 'request.pem', '-subj', `/CN=${end}`);
    const signed = ['-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-days', '2'];
    openssl(
      'x509',
      '-req',
      '-in',
      'request.pem',
      '-out',
      `${end}-cert.pem`,
      ...signed,
      '-extfile',
      'extensions',
    );
  }
}

/** One end's certificate and key of `from`, that trusts the authority of `trusting`. */
export function mixCertificates(folder: string, from: string, trusting: string): void {
  mkdirSync(folder);
  for (const end of ['server', 'client']) {
    for (const file of [`${end}-cert.pem`, `${end}-key.pem`]) {
      copyFileSync(path.join(from, file), path.join(folder, file));
    }
  }
  copyFileSync(path.join(trusting, 'ca-cert.pem'), path.join(folder, 'ca-cert.pem'));
}
