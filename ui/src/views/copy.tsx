// Copying text, with a visible and spoken "done". Works over plain http too.

import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useStore } from './context'
import { Icon } from './icons'

const SHOWN_MS = 1600

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copyBySelection(text)
  }
}

/** The clipboard interface is missing outside secure contexts. */
function copyBySelection(text: string): boolean {
  const field = document.createElement('textarea')
  field.value = text
  field.className = 'offscreen'
  document.body.append(field)
  field.select()
  const done = document.execCommand('copy')
  field.remove()
  return done
}

export function CopyButton({ text, label }: { text: string; label: string }): JSX.Element {
  const store = useStore()
  const [done, setDone] = useState(false)
  useEffect(() => {
    if (!done) return undefined
    const timer = setTimeout(() => setDone(false), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [done])
  const copy = async (): Promise<void> => {
    if (!(await copyText(text))) return
    setDone(true)
    store.announce('Copied')
  }
  return (
    <button type="button" class="icon-button small" aria-label={label} title={label} onClick={() => void copy()}>
      <Icon name={done ? 'check' : 'copy'} />
    </button>
  )
}
