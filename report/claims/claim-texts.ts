/** The paper's claims, and by what rule each is judged. */
import type { Language } from '../figures/text.ts';

type Words = Readonly<Record<Language, string>>;

export const claimTexts = {
  'downtime-alike': {
    claim: {
      en: 'Downtime: no real difference between pre-copy and the proposal, in any cell (Figure 7).',
      ja: 'ダウンタイムは従来方式と提案方式でほぼ変わらない（図 7）。',
    },
    rule: {
      en: 'restore − pre-copy, STOP to RESUME; every cell within 100 ms or 20 %',
      ja: 'restore − pre-copy（STOP から RESUME）。全条件で 100 ms または 20 % 以内',
    },
  },
  'total-time-shorter': {
    claim: {
      en: 'Total migration time is 1.3 to 2.3 times shorter (Figure 8).',
      ja: '総移行時間は 1.3〜2.3 倍短縮される（図 8）。',
    },
    rule: { en: 'pre-copy / restore; every cell at least 1.3', ja: 'pre-copy / restore。全条件で 1.3 以上' },
  },
  'more-with-memory': {
    claim: {
      en: 'The gain in total time grows with memory (Figure 8).',
      ja: '短縮効果はメモリ量とともに大きくなる（図 8）。',
    },
    rule: {
      en: 'pre-copy / restore by rising memory; in every load larger at the end than at the beginning',
      ja: 'pre-copy / restore（メモリ昇順）。各負荷で最大メモリの方が大きい',
    },
  },
  'migration-link-saturated': {
    claim: {
      en: 'Both methods saturate the migration link (Figures 9 to 11).',
      ja: '両方式とも移行リンクの帯域を使い切る（図 9〜11）。',
    },
    rule: {
      en: 'bytes / total time / configured rate; at least 90 % in every cell',
      ja: '転送量 / 総移行時間 / 設定速度。全条件で 90 % 以上',
    },
  },
  'storage-link-used': {
    claim: {
      en: 'Only the proposal uses the storage link as well (Figures 9 to 11).',
      ja: '提案方式のみがストレージリンクも使用する（図 9〜11）。',
    },
    rule: {
      en: 'the same for the storage link of dst; pre-copy below 5 %, restore above 20 % in every cell',
      ja: 'dst のストレージリンクについて同様。pre-copy 5 % 未満、restore 20 % 超',
    },
  },
  'waits-for-storage': {
    claim: {
      en: 'The restore is the bottleneck: the migration ends up waiting for storage (Figures 9 to 11).',
      ja: '復元が律速となり、移行はストレージを待つ（図 9〜11）。',
    },
    rule: {
      en: 'share of the total time for which the switchover was held back; at least 5 % in most cells',
      ja: '切替を保留した時間の割合。過半の条件で 5 % 以上',
    },
  },
  'remaining-starts-lower': {
    claim: {
      en: 'Remaining memory starts far lower with the proposal (Figures 12 to 14).',
      ja: '提案方式では残りメモリ量が大幅に少ない状態から始まる（図 12〜14）。',
    },
    rule: {
      en: 'remaining when the list is known / pre-copy’s at its start; at most 50 % in every cell',
      ja: 'リスト取得時の残り / pre-copy 開始時の残り。全条件で 50 % 以下',
    },
  },
  'total-bytes-rise': {
    claim: {
      en: 'The total transferred tends to rise with the proposal (Figure 15).',
      ja: '提案方式では総転送量が増える傾向がある（図 15）。',
    },
    rule: {
      en: 'bytes of both links, restore / pre-copy; above 1 in most cells',
      ja: '両リンクの転送量、restore / pre-copy。過半の条件で 1 超',
    },
  },
  'tps-drops': {
    claim: {
      en: 'Throughput drops during migration with both methods (Figures 16, 17).',
      ja: '両方式とも移行中にスループットが低下する（図 16、17）。',
    },
    rule: {
      en: 'TPS during / before; below 95 % in every run',
      ja: '移行中 / 移行前の TPS。全実行で 95 % 未満',
    },
  },
  'recovers-sooner': {
    claim: {
      en: 'Throughput recovers much sooner with the proposal (Figures 16, 17).',
      ja: '提案方式ではスループットが早く回復する（図 16、17）。',
    },
    rule: {
      en: 'min recovery time of pre-copy − max of restore; above 0 in every cell',
      ja: '回復時間の差（pre-copy の最小 − restore の最大）。全条件で正',
    },
  },
  'sending-the-list-dominates': {
    claim: {
      en: 'Sending the list dominates the time to get it, then address translation (Figure 18).',
      ja: 'リスト取得時間の大半は送信、次いでアドレス変換が占める（図 18）。',
    },
    rule: {
      en: 'shares of sending; of translation; in every cell the largest and the second',
      ja: '送信の割合；変換の割合。全条件で 1 位と 2 位',
    },
  },
} as const satisfies Readonly<Record<string, { readonly claim: Words; readonly rule: Words }>>;

export type ClaimId = keyof typeof claimTexts;

export const tableTexts = {
  title: { en: 'The paper’s claims and this set', ja: '論文の主張と本計測' },
  claim: { en: 'Claim', ja: '主張' },
  rule: { en: 'What is measured, and when it holds', ja: '計測内容と判定基準' },
  measured: { en: 'Measured', ja: '計測値' },
  cells: { en: 'Cells', ja: '条件数' },
  verdict: { en: 'Verdict', ja: '判定' },
  holds: { en: 'holds', ja: '成立' },
  'does-not-hold': { en: 'does not hold', ja: '不成立' },
  'holds-in-single-runs': {
    en: 'holds in these runs (fewer than 3 per cell)',
    ja: 'この計測では成立（1 条件 3 回未満）',
  },
  'does-not-hold-in-single-runs': {
    en: 'does not hold in these runs (fewer than 3 per cell)',
    ja: 'この計測では不成立（1 条件 3 回未満）',
  },
  missing: { en: 'missing', ja: '計測なし' },
  'not-converged': { en: '{} did not converge', ja: '{} が収束しなかった' },
  unjudged: {
    en: '{} claims of the paper need runs that this set does not have',
    ja: 'この計測に必要な実行がない主張：{} 件',
  },
} as const satisfies Readonly<Record<string, Words>>;

/** Why a claim is missing though there are runs. */
export const missingReasons = {
  'not-measurable': { en: 'not measurable at this load', ja: 'この負荷では計測不能' },
} as const satisfies Readonly<Record<string, Words>>;

export type MissingReason = keyof typeof missingReasons;
