// Whether the screen is too narrow for two columns (the same limit as in layout.css).

import { useEffect, useState } from 'preact/hooks'

const QUERY = '(max-width: 820px)'

export function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(QUERY).matches)
  useEffect(() => {
    const query = matchMedia(QUERY)
    const changed = (): void => setNarrow(query.matches)
    query.addEventListener('change', changed)
    return () => query.removeEventListener('change', changed)
  }, [])
  return narrow
}
