/** Words of the page around the figures. */
import type { Language } from '../figures/text.ts';

export const pageTexts = {
  en: {
    title: 'Live migration, measured',
    results: 'Results',
    runs: 'Runs and conditions',
    leftOut: 'Runs that are not in the figures',
    howTo:
      'Point at a mark for its numbers. In figures over time the wheel with Ctrl zooms, dragging moves, and a double click resets. The menu of each figure saves it.',
  },
  ja: {
    title: 'ライブマイグレーションの計測結果',
    results: '結果',
    runs: '実行と条件',
    leftOut: '図に含まれない実行',
    howTo:
      '図形に合わせると値が表示されます。時間軸の図は Ctrl とホイールで拡大、ドラッグで移動、ダブルクリックで元に戻ります。各図のメニューから保存できます。',
  },
} as const satisfies Readonly<Record<Language, unknown>>;
