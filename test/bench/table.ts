/** One measured figure. With a baseline of the same run, `ratio` is value ÷ baseline and the goal is a ratio. */
export interface Row {
  bench: string
  metric: string
  value: number
  unit: string
  baseline?: number
  ratio?: number
  goal?: string
  met?: boolean
}

/** A row whose value should be at least so many times its baseline. */
export const ratioRow = (bench: string, metric: string, value: number, baseline: number, unit: string, least?: number): Row => ({
  bench,
  metric,
  value,
  unit,
  baseline,
  ratio: value / baseline,
  ...(least === undefined ? {} : { goal: `>= ${least} x`, met: value / baseline >= least }),
})

/** Prints rows as an aligned table, or one JSON object per line. */
export function printRows(rows: Row[], json: boolean): void {
  if (json) {
    for (const row of rows) console.log(JSON.stringify(row))
    return
  }
  const cells = rows.map((r) => [
    r.bench,
    r.metric,
    figure(r.value),
    r.unit,
    figure(r.baseline),
    figure(r.ratio),
    r.goal ?? '',
    r.met === undefined ? '' : r.met ? 'met' : 'missed',
  ])
  const head = ['bench', 'metric', 'value', 'unit', 'baseline', 'ratio', 'goal', '']
  const widths = head.map((h, i) => Math.max(h.length, ...cells.map((c) => (c[i] ?? '').length)))
  for (const line of [head, ...cells])
    console.log(
      line
        .map((c, i) => c.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
}

function figure(n: number | undefined): string {
  if (n === undefined) return ''
  if (n >= 1000) return Math.round(n).toLocaleString('en')
  return n >= 10 ? n.toFixed(1) : n.toFixed(3)
}

/** The p-th percentile (0–1) of unsorted samples; 0 for none. */
export function percentile(samples: number[], p: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0
}
