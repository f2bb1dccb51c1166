/** A run that moves several VMs at once is recorded as one run for each, side by side. Pure. */
import path from 'node:path';

/** @param vm its index: the first has the run's name */
export function nameOfVm(run: string, vm: number): string {
  return vm === 0 ? run : `${run}-vm${vm}`;
}

/** Folders of a run's VMs, in order. @param folder of the first */
export function foldersOfVms(folder: string, vms: number): readonly string[] {
  return Array.from({ length: vms }, (_, vm) => nameOfVm(folder, vm));
}

/** The folders of the other VMs. @param folder of the one with the index `vm` */
export function foldersOfOthers(folder: string, vm: number, vms: number): readonly string[] {
  const own = path.resolve(folder);
  const suffix = nameOfVm('', vm);
  if (!own.endsWith(suffix)) return [];
  return foldersOfVms(own.slice(0, own.length - suffix.length), vms).filter((other) => other !== own);
}
