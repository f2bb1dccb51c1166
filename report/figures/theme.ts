/** Colours, shapes and fonts. Every series differs in lightness or dash too, so that figures read in grey. */
import type { Language } from './text.ts';

export interface Look {
  readonly colour: string;
  /** Of lines, where the colour of areas is too light for a thin line. */
  readonly lineColour?: string;
  readonly dash: readonly number[];
}

/**
 * Apart in lightness, so that colour-blind readers tell those that are compared most. Grey is stock pre-copy, red the engine that
 * this project offers; the links' colours (`linkLooks`) are no method's.
 */
const engineLooks: Readonly<Record<string, Look>> = {
  precopy: { colour: '#393939', dash: [4, 2] },
  restore: { colour: '#a779c9', lineColour: '#8d55b8', dash: [7, 2] },
  balance: { colour: '#d7263d', lineColour: '#c1121f', dash: [] },
  resume: { colour: '#62b66c', lineColour: '#3a8846', dash: [5, 1] },
  'multifd-zstd': { colour: '#f2d64b', lineColour: '#b59a00', dash: [9, 3, 2, 3] },
  postcopy: { colour: '#7cc4ea', lineColour: '#3a93c6', dash: [4, 4] },
  xbzrle: { colour: '#2b5d63', dash: [1, 3] },
  'auto-converge': { colour: '#a6a6a6', lineColour: '#8f8f8f', dash: [10, 2, 2, 2, 2, 2] },
  multifd: { colour: '#05121f', dash: [6, 3] },
  'precopy-stepped': { colour: '#3a4a63', dash: [8, 3, 1, 3] },
  'postcopy-preempt': { colour: '#0a674e', dash: [5, 2, 2, 2] },
  'free-page-hint': { colour: '#cbb8a6', lineColour: '#93624d', dash: [2, 4] },
  'multifd-zstd-stepped': { colour: '#bba755', lineColour: '#8f7d2f', dash: [3, 5] },
  shrink: { colour: '#33143f', dash: [9, 2, 3, 2] },
  handover: { colour: '#b0723f', dash: [1, 2] },
  replica: { colour: '#a98cc1', lineColour: '#80619a', dash: [6, 2, 2, 2] },
  restart: { colour: '#fde6ee', lineColour: '#c2527a', dash: [5, 2, 1, 2] },
};

const otherLook: Look = { colour: '#6b6b6b', dash: [3, 1] };

export const engineLook = (engine: string): Look => engineLooks[engine] ?? otherLook;

export const linkLooks: readonly [migration: Look, storage: Look] = [
  { colour: '#1b3a5b', dash: [] },
  { colour: '#e08a00', dash: [4, 2] },
];

/** From dark to light (after cividis); for the parts of a stack, which also stand in one order. */
export const rampColours = ['#00224e', '#35456c', '#666970', '#948e77', '#c8b866', '#fee838'] as const;

export const inkColour = '#222222';
export const faintColour = '#8a8a8a';

/** The first that a machine has is taken; the report installs the first. Both are proportional. */
export const fontFamilies: Readonly<Record<Language, string>> = {
  en: 'DejaVu Sans, Helvetica, Arial, sans-serif',
  ja: 'IPAPGothic, Noto Sans CJK JP, Hiragino Sans, Yu Gothic, sans-serif',
};

export const subtitleFontSize = 10;
export const axisFontSize = 10;

export function themeConfig(language: Language): object {
  const font = fontFamilies[language];
  return {
    font,
    background: 'white',
    // The figure as a whole has a name: hundreds of marks with one each are no use to who hears them.
    mark: { aria: false },
    title: {
      anchor: 'start',
      fontSize: 14,
      subtitleFontSize,
      subtitleColor: '#555555',
      subtitleFontStyle: 'normal',
      offset: 12,
    },
    axis: {
      aria: false,
      labelFontSize: axisFontSize,
      titleFontSize: 11,
      titleFontWeight: 'normal',
      gridColor: '#e4e4e4',
      domainColor: faintColour,
      tickColor: faintColour,
    },
    header: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: 'normal' },
    legend: {
      aria: false,
      orient: 'top',
      // Twelve methods in a row would be twice as wide as the plot.
      columns: 4,
      titleOrient: 'left',
      titleAnchor: 'middle',
      titlePadding: 10,
      titleFontSize: 11,
      labelFontSize: 11,
      titleFontWeight: 'normal',
      symbolStrokeWidth: 2,
      symbolSize: 140,
      labelLimit: 260,
      symbolOpacity: 1,
    },
    view: { stroke: '#d0d0d0' },
    facet: { spacing: 10 },
  };
}
