import { type Recipe, noCommitLost, noPageDiffers, pagesFromStorage } from '../recipe.ts';

export const vagrant: Recipe = {
  name: 'vagrant',
  title: 'Machines of their own, by Vagrant',
  question:
    'Does the testbed work on machines of its own, with KVM and the kernel’s NFS? A small VM, byte for byte; the machines were emulated, which says nothing about speed.',
  scenarios: ['idle'],
  mems: ['16'],
  engines: ['restore'],
  repeat: 1,
  conditions: { testbed: 'vagrant', before: 30, after: 60, verifyRam: true, vmMemory: 256, tableData: 16 },
  tables: [
    {
      caption: 'Time and pages of 4 KiB',
      columns: [
        'total',
        'downtime',
        'migration-link',
        'storage-link',
        'pages-compared',
        'pages-differing',
        'pages-restored',
        'commits-lost',
      ],
    },
  ],
  claims: [noPageDiffers, pagesFromStorage, noCommitLost],
  figures: [],
};
