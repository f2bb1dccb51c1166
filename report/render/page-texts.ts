/** Words of the page around the figures. */
import type { Language } from '../figures/text.ts';

export const pageTexts = {
  en: {
    title: 'Live migration, measured',
    contents: 'Contents',
    results: 'Results',
    runs: 'Runs and conditions',
    conditions: 'Conditions',
    eachRun: 'Each run',
    leftOut: 'Runs that are not in the figures',
    notDrawn: 'Figures that this set has no numbers for',
    detailsOf: 'Conditions and runs of: {}',
    howTo:
      'Point at a mark for its numbers; click entries of a legend to see only these, and beside it to see all again. In figures over time the wheel with Ctrl zooms, dragging moves, and a double click resets. The menu of each figure saves it.',
    noScript:
      'JavaScript is off, so no figure is drawn here: each is named with its file, which lies beside this page.',
    noScriptLive: 'JavaScript is off: this page cannot follow the run.',
    /** vega-embed's menu. */
    menu: {
      CLICK_TO_VIEW_ACTIONS: 'Save the figure',
      PNG_ACTION: 'Save as PNG',
      SVG_ACTION: 'Save as SVG',
      SOURCE_ACTION: 'View source',
    },
  },
  ja: {
    title: 'ライブマイグレーションの計測結果',
    contents: '目次',
    results: '結果',
    runs: '実行と条件',
    conditions: '条件',
    eachRun: '各実行',
    leftOut: '図に含まれない実行',
    notDrawn: 'この計測に値のない図',
    detailsOf: '条件と実行：{}',
    howTo:
      '図形に合わせると値が表示されます。凡例の項目をクリックするとその項目だけを表示し、余白をクリックするとすべてに戻ります。時間軸の図は Ctrl とホイールで拡大、ドラッグで移動、ダブルクリックで元に戻ります。各図のメニューから保存できます。',
    noScript:
      'JavaScript が無効なため図は描画されません。各図のファイルはこのページと同じフォルダにあります。',
    noScriptLive: 'JavaScript が無効なため実行を追跡できません。',
    menu: {
      CLICK_TO_VIEW_ACTIONS: '図を保存',
      PNG_ACTION: 'PNG で保存',
      SVG_ACTION: 'SVG で保存',
      SOURCE_ACTION: 'ソースを表示',
    },
  },
} as const satisfies Readonly<Record<Language, unknown>>;
