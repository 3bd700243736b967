// A ticking signal for views that show "in 4 s" or "3 min ago".

import { signal, type ReadonlySignal } from '@preact/signals'
import { useEffect, useState } from 'preact/hooks'

export function useNow(everyMs: number): ReadonlySignal<number> {
  const [now] = useState(() => signal(Date.now()))
  useEffect(() => {
    now.value = Date.now()
    const timer = setInterval(() => {
      now.value = Date.now()
    }, everyMs)
    return () => clearInterval(timer)
  }, [everyMs, now])
  return now
}
