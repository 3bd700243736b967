// Light, dark, or whatever the system says.

import { signal } from '@preact/signals'

export type Theme = 'auto' | 'light' | 'dark'

const STORAGE_KEY = 'portico.theme'
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark']

export const theme = signal<Theme>('auto')

export function loadTheme(storage: Storage): void {
  const saved = storage.getItem(STORAGE_KEY)
  if (saved === 'light' || saved === 'dark') apply(saved)
}

export function nextTheme(storage: Storage): Theme {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? 'auto'
  setTheme(storage, next)
  return next
}

export function setTheme(storage: Storage, next: Theme): void {
  apply(next)
  storage.setItem(STORAGE_KEY, next)
}

function apply(next: Theme): void {
  theme.value = next
  if (next === 'auto') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = next
}
