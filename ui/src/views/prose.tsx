// Markdown on the screen. Its code is a chunk of its own, fetched after the first paint;
// until it is here the text is shown as written.

import { computed, signal } from '@preact/signals'
import type { JSX } from 'preact'
import { useMemo } from 'preact/hooks'
import { copyText } from './copy'

type Render = (text: string) => string

const renderer = signal<Render | undefined>(undefined)

export const isMarkdownReady = computed(() => renderer.value !== undefined)

export async function loadMarkdown(): Promise<void> {
  const { renderMarkdown } = await import('./markdown')
  renderer.value = renderMarkdown
}

const COPIED_MS = 1600

function copyCode(event: MouseEvent): void {
  const button = event.target instanceof Element ? event.target.closest('[data-copy]') : null
  const code = button?.closest('figure')?.querySelector('code')?.textContent
  if (button === null || code === null || code === undefined) return
  void copyText(code.replace(/\n$/, '')).then((done) => {
    if (!done) return
    button.textContent = 'Copied'
    setTimeout(() => { button.textContent = 'Copy' }, COPIED_MS)
  })
}

export function Prose({ text, live }: { text: string; live: boolean }): JSX.Element {
  const render = renderer.value
  const html = useMemo(() => render?.(text), [text, render])
  const name = `prose ${live ? 'is-live' : ''}`
  if (html === undefined) return <div class={`${name} is-plain`}>{text}</div>
  return <div class={name} onClick={copyCode} dangerouslySetInnerHTML={{ __html: html }} />
}
