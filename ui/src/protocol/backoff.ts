// How long to wait before the next attempt: doubling, capped, with jitter so that many
// pages do not return in step after a gateway restart.

const FIRST_MS = 500
const LONGEST_MS = 20_000

export function backoffMs(attempt: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10))
  return Math.round(ceiling * (0.5 + random() * 0.5))
}
