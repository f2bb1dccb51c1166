/** Every label of figures and report, in the languages that `--lang` takes. */
export const languages = ['en', 'ja'] as const;
export type Language = (typeof languages)[number];

const texts = {
  'title.figure': { en: 'Figure {}.', ja: '図 {}' },
  'title.downtime': { en: 'Downtime', ja: 'ダウンタイム' },
  'title.total-time': { en: 'Total migration time', ja: '総移行時間' },
  'title.nic-idle': { en: 'NIC throughput during migration, Idle', ja: '移行中の NIC スループット（Idle）' },
  'title.nic-ro': { en: 'NIC throughput during migration, RO', ja: '移行中の NIC スループット（RO）' },
  'title.nic-rw': { en: 'NIC throughput during migration, RW', ja: '移行中の NIC スループット（RW）' },
  'title.remaining-idle': { en: 'Remaining memory, Idle', ja: '残りメモリ量（Idle）' },
  'title.remaining-ro': { en: 'Remaining memory, RO', ja: '残りメモリ量（RO）' },
  'title.remaining-rw': { en: 'Remaining memory, RW', ja: '残りメモリ量（RW）' },
  'title.transferred': { en: 'Total transferred, by link', ja: '総転送量（リンク別）' },
  'title.tps-ro': { en: 'sysbench throughput, RO', ja: 'sysbench のスループット（RO）' },
  'title.tps-rw': { en: 'sysbench throughput, RW', ja: 'sysbench のスループット（RW）' },
  'title.list-time': { en: 'Time to get the page list, by phase', ja: 'ページリスト取得時間（段階別）' },
  'title.downtime-ways': { en: 'Downtime by measurement method', ja: '計測方法別のダウンタイム' },
  'title.latency': { en: 'Transaction latency around the migration', ja: '移行前後のトランザクション遅延' },
  'title.queued': { en: 'Queue of the load', ja: '負荷の待ち行列' },
  'title.efficiency': { en: 'Efficiency against the bound', ja: '理論限界に対する効率' },
  'title.page-origins': { en: 'Where each page came from', ja: 'ページの転送元' },
  'title.timeline': { en: 'Phases of the migration', ja: '移行の段階' },
  'title.memory-held': { en: 'What memory held before the load', ja: '負荷開始前のメモリの内容' },
  'title.gain': { en: 'Gain over pre-copy by dirty rate', ja: 'ダーティ率と pre-copy に対する短縮効果' },
  'title.engines': { en: 'Engines compared with pre-copy', ja: 'pre-copy に対する各方式の比較' },

  'axis.memory': { en: 'Memory row (GiB)', ja: 'メモリ条件（GiB）' },
  'axis.time': { en: 'Time since the migrate command (s)', ja: '移行命令からの時間（s）' },
  'axis.downtime': { en: 'Downtime, STOP to RESUME (ms)', ja: 'ダウンタイム（STOP から RESUME、ms）' },
  'axis.downtime-any': { en: 'Downtime (ms)', ja: 'ダウンタイム（ms）' },
  'axis.total-time': { en: 'Total migration time (s)', ja: '総移行時間（s）' },
  'axis.throughput': { en: 'Throughput (Mbit/s)', ja: 'スループット（Mbit/s）' },
  'axis.remaining': { en: 'Remaining memory (MB)', ja: '残りメモリ量（MB）' },
  'axis.transferred': { en: 'Transferred (MB)', ja: '転送量（MB）' },
  'axis.tps': { en: 'Transactions per second (1/s)', ja: '毎秒トランザクション数（1/s）' },
  'axis.tps-short': { en: 'TPS (1/s)', ja: 'TPS（1/s）' },
  'axis.list-time': { en: 'Time (s)', ja: '時間（s）' },
  'axis.latency-any': { en: 'Latency (ms)', ja: '遅延（ms）' },
  'axis.queued': { en: 'Waiting transactions', ja: '待機中のトランザクション' },
  'axis.latency': { en: 'Latency, p95 (ms)', ja: '遅延 p95（ms）' },
  'axis.efficiency': { en: 'Bound / total time (ratio)', ja: '理論限界 / 総移行時間（比）' },
  'axis.pages': { en: 'Guest pages (MB)', ja: 'ゲストページ（MB）' },
  'axis.held': { en: 'Memory (MB)', ja: 'メモリ（MB）' },
  'axis.dirty-share': {
    en: 'Dirty rate / rate of the migration link',
    ja: 'ダーティ率 / 移行リンクの速度',
  },
  'axis.gain': { en: 'Times as fast as pre-copy', ja: 'pre-copy 比（倍）' },
  'axis.ratio': { en: 'Ratio to pre-copy', ja: 'pre-copy に対する比' },

  'panel.memory': { en: '{} GiB row', ja: 'メモリ {} GiB' },

  'legend.engine': { en: 'Engine', ja: '方式' },
  'legend.link': { en: 'Link', ja: 'リンク' },
  'legend.phase': { en: 'Phase', ja: '段階' },
  'legend.way': { en: 'Measured by', ja: '計測方法' },
  'legend.origin': { en: 'Origin', ja: '転送元' },
  'legend.held': { en: 'Content', ja: '内容' },
  'legend.memory': { en: 'Memory (GiB)', ja: 'メモリ（GiB）' },
  'legend.scenario': { en: 'Load', ja: '負荷' },
  'legend.metric': { en: 'Figure', ja: '指標' },
  'legend.runs': { en: 'Runs', ja: '実行数' },

  'link.migration': { en: 'migration link', ja: '移行リンク' },
  'link.storage': { en: 'storage link (into dst)', ja: 'ストレージリンク（dst 受信）' },
  'link.storage-both': { en: 'storage link (dst, both ways)', ja: 'ストレージリンク（dst 送受信）' },

  'way.client': { en: 'client, ping every 5 ms', ja: 'クライアント（5 ms ごとの ping）' },
  'way.heartbeat': { en: 'client, SQL every 20 ms', ja: 'クライアント（20 ms ごとの SQL）' },
  'way.stop-resume': { en: 'STOP to RESUME', ja: 'STOP から RESUME' },
  'way.qemu': { en: 'QEMU’s own figure', ja: 'QEMU の報告値' },

  'list.find': { en: 'find clean cached pages', ja: 'クリーンなページの検出' },
  'list.translate': { en: 'translate addresses', ja: 'アドレス変換' },
  'list.map': { en: 'map to disk blocks', ja: 'ディスクブロックへの対応付け' },
  'list.encode': { en: 'encode', ja: '符号化' },
  'list.send': { en: 'send to the source engine', ja: '送信元エンジンへの送信' },
  'list.rest': { en: 'other (request, wait)', ja: 'その他（要求・待機）' },
  'list.clean': { en: 'write dirty pages first', ja: 'ダーティページの書き出し' },

  'held.zero': { en: 'zero pages', ja: 'ゼロページ' },
  'held.pool': { en: 'buffer pool in use', ja: '使用中のバッファプール' },
  'held.page-cache': { en: 'page cache', ja: 'ページキャッシュ' },
  'held.other': {
    en: 'other: programs, kernel, freed with content',
    ja: 'その他（プログラム、カーネル、解放済み）',
  },

  'gain.measured': { en: 'measured', ja: '計測値' },
  'gain.at-least': { en: 'at least: pre-copy was cancelled', ja: '下限（pre-copy は中止）' },

  'origin.zero': { en: 'zero pages', ja: 'ゼロページ' },
  'origin.restored': { en: 'restored from storage', ja: 'ストレージから復元' },
  'origin.shared': { en: 'listed, sent by the engine', ja: 'エンジンが送信' },
  'origin.sent': { en: 'sent by QEMU (each time counted)', ja: '送信（再送を含む）' },
  'origin.cancelled': { en: 'restore cancelled by a newer page', ja: '更新により復元を取消' },
  'origin.mismatched': { en: 'differed on storage, sent', ja: 'ストレージと不一致のため送信' },
  'origin.unreadable': { en: 'unreadable on storage, sent', ja: '読出し不可のため送信' },

  'span.before': { en: 'before', ja: '移行前' },
  'span.during': { en: 'during', ja: '移行中' },
  'span.after': { en: 'after', ja: '移行後' },

  'legend.span': { en: 'span', ja: '区間' },
  'latency.p50': { en: 'p50 (ms)', ja: 'p50（ms）' },
  'latency.p95': { en: 'p95 (ms)', ja: 'p95（ms）' },
  'latency.p99': { en: 'p99 (ms)', ja: 'p99（ms）' },
  'latency.p10': { en: '10th percentile (ms)', ja: '10 パーセンタイル（ms）' },
  'latency.median': { en: 'median (ms)', ja: '中央値（ms）' },
  'latency.p90': { en: '90th percentile (ms)', ja: '90 パーセンタイル（ms）' },
  'latency.worst': { en: 'worst (ms)', ja: '最悪（ms）' },

  'condition.testbed': { en: 'testbed', ja: 'テストベッド' },
  'condition.accelerator': { en: 'accelerator', ja: '仮想化支援' },
  'condition.machine': { en: 'machine', ja: 'マシン' },
  'condition.scale': { en: 'scale', ja: '縮尺' },
  'condition.link rate': { en: 'link rate', ja: 'リンク速度' },
  'condition.DBMS': { en: 'DBMS', ja: 'DBMS' },
  'condition.database server': { en: 'database server', ja: 'データベースサーバ' },
  'condition.QEMU': { en: 'QEMU', ja: 'QEMU' },
  'condition.sysbench threads': { en: 'sysbench threads', ja: 'sysbench スレッド数' },
  'condition.sysbench rate': { en: 'sysbench rate', ja: 'sysbench レート' },
  'condition.downtime limit': { en: 'downtime limit', ja: 'ダウンタイム上限' },
  'condition.RAM comparison': { en: 'RAM comparison', ja: 'RAM 比較' },
  'condition.target memory': { en: 'target memory', ja: '移送先のメモリ' },
  'condition.warm start': { en: 'warm start', ja: 'ウォームスタート' },
  'condition.VMs at once': { en: 'VMs at once', ja: '同時に移送する VM 数' },
  'condition.guest': { en: 'guest', ja: 'ゲスト' },
  'condition.revision': { en: 'revision', ja: 'リビジョン' },

  'run.name': { en: 'run', ja: '実行' },
  'run.outcome': { en: 'outcome', ja: '結果' },
  'run.total': { en: 'total, s', ja: '総移行時間（s）' },
  'run.downtime': { en: 'downtime STOP–RESUME, ms', ja: 'ダウンタイム STOP–RESUME（ms）' },
  'run.client-gap': { en: 'client gap, ms', ja: 'クライアントの無応答（ms）' },
  'run.migration-link': { en: 'migration link, MB', ja: '移行リンク（MB）' },
  'run.storage-link': { en: 'storage link dst, MB', ja: 'ストレージリンク dst（MB）' },
  'run.tps-before': { en: 'TPS before, 1/s', ja: '移行前 TPS（1/s）' },
  'run.tps-during': { en: 'TPS during, 1/s', ja: '移行中 TPS（1/s）' },
  'run.tps-recovery': { en: 'TPS recovery, s', ja: 'TPS 回復時間（s）' },
  'run.efficiency': { en: 'efficiency', ja: '効率' },
  'run.restored': { en: 'pages restored', ja: '復元ページ' },
  'run.cancelled': { en: 'pages cancelled', ja: '取消ページ' },
  'run.mismatched': { en: 'pages mismatched', ja: '不一致ページ' },
  'run.unreadable': { en: 'pages unreadable', ja: '読出し不可ページ' },
  'run.lost': { en: 'lost commits', ja: '失われたコミット' },

  'span.from': { en: 'from (s)', ja: '開始（s）' },
  'span.to': { en: 'to (s)', ja: '終了（s）' },
  'span.length': { en: 'length', ja: '長さ' },

  'timeline.list': { en: 'get the page list', ja: 'ページリスト取得' },
  'timeline.first-pass': { en: 'first pass', ja: '最初の転送パス' },
  'timeline.further-passes': { en: 'further passes', ja: '以降の転送パス' },
  'timeline.restore': { en: 'restore from storage', ja: 'ストレージから復元' },
  'timeline.gate': { en: 'switchover held back', ja: '切替の保留' },
  'timeline.switchover': { en: 'switchover (VM stopped)', ja: '切替（VM 停止）' },
  'timeline.recovery': { en: 'throughput below normal', ja: 'スループット低下中' },

  'metric.total-time': { en: 'total time', ja: '総移行時間' },
  'metric.downtime': { en: 'downtime', ja: 'ダウンタイム' },
  'metric.migration-bytes': { en: 'migration link bytes', ja: '移行リンク転送量' },
  'metric.all-bytes': { en: 'bytes of both links', ja: '両リンク転送量' },
  'metric.recovery': { en: 'TPS recovery time', ja: 'TPS 回復時間' },

  'engine.precopy': { en: 'pre-copy', ja: 'pre-copy' },
  'engine.restore': { en: 'restore', ja: 'restore' },
  'scenario.idle': { en: 'Idle', ja: 'Idle' },
  'scenario.ro': { en: 'RO', ja: 'RO' },
  'scenario.rw': { en: 'RW', ja: 'RW' },
  'scenario.tpcc': { en: 'TPC-C', ja: 'TPC-C' },

  'mark.missing': { en: '×', ja: '×' },
  'mark.not-converged': { en: 'n/c', ja: 'n/c' },
  'mark.no-figure': { en: '–', ja: '–' },
  'mark.not-measurable': { en: 'n/m', ja: 'n/m' },
  'note.missing': { en: '× no run recorded.', ja: '×：記録なし' },
  'note.not-converged': { en: 'n/c did not converge.', ja: 'n/c：収束せず' },
  'note.cancelled': {
    en: 'n/c did not converge: drawn to where it was cancelled.',
    ja: 'n/c：収束せず。中止までを表示',
  },
  'remark.speed': {
    en: 'The machine was not equally fast: the source VM booted in {}. Compare what ran side by side only.',
    ja: 'マシンの速度が一定でない（移行元 VM の起動：{}）。同時期の実行のみ比較可能',
  },
  'remark.overloaded': {
    en: 'Overloaded before the migration, completed of offered: {}.',
    ja: '移行前から過負荷（完了/要求）：{}',
  },
  'remark.interrupted': {
    en: 'The load lost connections or was started again: {}.',
    ja: '負荷の接続断または再起動あり：{}',
  },
  'remark.saturated': {
    en: 'Full speed: the server is saturated before the migration, too.',
    ja: '最大速度：サーバは移行前から飽和状態',
  },
  'remark.unlike-before': {
    en: 'TPS before the migration differs between runs: {}. Compare each with its own before.',
    ja: '移行前の TPS が実行間で異なる：{}。各実行の移行前と比較すること',
  },
  'note.no-figure': { en: '– does not apply, or not measured.', ja: '–：該当しない、または計測なし' },
  'note.not-measurable': {
    en: 'n/m not measurable at this load: throughput’s change is within noise.',
    ja: 'n/m：この負荷では計測不能（スループットの変化がばらつきの範囲内）',
  },
  'note.one-run': { en: 'One run per bar.', ja: '各棒は 1 回の実行' },
  'note.paper-speed-up': {
    en: 'Dashed frame: pre-copy’s time here divided by 1.3 to 2.3, the speed-up that the paper states.',
    ja: '破線枠：論文の高速化率 1.3〜2.3 倍に相当する範囲（この計測の pre-copy が基準）',
  },
  'note.bars': {
    en: 'Bars: mean of the repeats; circles: single runs; whiskers: ± one standard deviation.',
    ja: '棒：繰返しの平均、丸：各実行、ひげ：標準偏差',
  },
  'note.typical': {
    en: 'One run per cell (of repeats, the one with the median total time).',
    ja: '各条件 1 回（繰返しでは総移行時間が中央値の実行）',
  },
  'note.symlog': { en: 'The axis is logarithmic above 100 ms.', ja: '100 ms 以上は対数軸' },
  'note.link-rate': { en: 'Dotted: configured link rate.', ja: '点線：リンクの設定速度' },
  'note.begin-end': {
    en: 'Vertical rules: the migrate command (0), and the end of the migration.',
    ja: '縦線：移行命令（0）と移行の終了',
  },
  'note.counters': {
    en: 'Growth of the hosts’ interface counters, headers included.',
    ja: 'ホストの NIC カウンタの増分（ヘッダを含む）',
  },
  'note.remaining': {
    en: 'Memory that QEMU still has to send, less listed pages that the engine will leave out.',
    ja: 'QEMU の残り送信量から、エンジンが除くページを引いた量',
  },
  'note.tps': {
    en: 'Thin: each second; thick: mean over 5 s.',
    ja: '細線：毎秒、太線：5 秒平均',
  },
  'note.percentiles': {
    en: 'All transactions of the span, from when they fell due. Bar: 50th to 99th percentile; tick: 95th. Log scale.',
    ja: '区間内の全トランザクション（要求時刻から）。棒：50–99 パーセンタイル、線：95 パーセンタイル。対数軸',
  },
  'note.queued': {
    en: 'Transactions that fell due and wait for a free thread of the client: what a stall leaves is worked off after it.',
    ja: '要求されたが空きスレッドを待つトランザクション数。停止中の分は後で処理される',
  },
  'note.latency': {
    en: 'Each second’s 95th percentile. Bar: 10th to 90th percentile of the seconds in the span; tick: median; circle: worst second. Log scale.',
    ja: '毎秒の p95。棒：区間内の各秒の 10–90 パーセンタイル、線：中央値、丸：最悪の 1 秒。対数軸',
  },
  'note.efficiency': {
    en: 'Bound: guest memory without zero pages, at the measured rates of both links; what an engine compressed counts at its ratio in that run. Dashed: 1, and 0.5 (one link of two).',
    ja: '限界：ゼロページを除くメモリ量を両リンクの実測速度で送る時間。圧縮する方式ではその実行の圧縮率を算入。破線：1 と 0.5（片リンクのみ）',
  },
  'note.ratio': {
    en: 'Figures of a cell divided by pre-copy’s; below 1 is better. Log scale. One mark per load and memory row: mean of its repeats; line and ticks: its runs, over pre-copy’s mean. No mark where pre-copy’s figure is 0.',
    ja: '同条件の pre-copy に対する比。1 未満が良い。対数軸。負荷とメモリごとに繰返しの平均、線と目盛は各実行（pre-copy の平均に対する比）。pre-copy が 0 の場合は表示なし',
  },
  'note.gain': {
    en: 'A mark a run, over the pre-copy made beside it, at the dirty rate that QEMU counted in that one.',
    ja: '各印は 1 回の実行で、対になる pre-copy との比。ダーティ率はその pre-copy で QEMU が数えた値',
  },
  'note.gain-curve': {
    en: 'Lines: the simulation of the same guest.',
    ja: '線：同じゲストのシミュレーション',
  },
  'note.timeline': {
    en: 'One run per engine (of repeats, the one with the median total time); 0 is the migrate command.',
    ja: '方式ごとに 1 回（繰返しでは総移行時間が中央値の実行）。0 は移行命令の時刻',
  },
  'note.downtime-ways': {
    en: 'Each mark is a run. Gaps that clients see contain the switchover and the time the network and the server take to respond again.',
    ja: '各点は 1 回の実行。クライアントから見た停止は、切替とネットワーク・サーバの応答再開を含む',
  },
  'note.stacks': {
    en: 'Means of repeats; circles: sums of single runs; whiskers: ± one standard deviation of the sum.',
    ja: '繰返しの平均、丸：各実行の合計、ひげ：合計の標準偏差',
  },
  'subtitle.sizes': { en: 'VM of {} GiB, links {}', ja: 'VM {} GiB、リンク {}' },
  'subtitle.load': { en: 'sysbench {} threads, {}', ja: 'sysbench {} スレッド、{}' },
  'subtitle.aged': { en: 'aged guest', ja: '長期稼働ゲスト' },
  'subtitle.full-speed': { en: 'full speed', ja: '最大速度' },
  'subtitle.unmeasured': {
    en: 'Rows of the paper without a run here:',
    ja: '論文の条件のうち計測のないもの：',
  },
  'subtitle.scale': { en: '1/{} of the paper’s memory and links: ', ja: 'メモリとリンクは論文の 1/{}：' },
  'subtitle.runs': { en: 'Runs:', ja: '実行：' },
} as const satisfies Readonly<Record<string, Readonly<Record<Language, string>>>>;

export type TextKey = keyof typeof texts;

export const isTextKey = (key: string): key is TextKey => Object.hasOwn(texts, key);

export function textIn(language: Language, key: TextKey): string {
  return texts[key][language];
}
