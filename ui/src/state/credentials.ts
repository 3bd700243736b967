// Where the gateway secret comes from and where it is kept.
// A `#token=` link is used once and leaves the address bar (and the history) at once.

import { asString, parseObject } from '../protocol/json'
import type { Secret } from '../protocol/client'

const STORAGE_KEY = 'portico.secret.v1'

export interface Places {
  readonly session: Storage
  readonly device: Storage
}

/** A part of the address after `#`, which loses it. */
export function takeFromAddress(name: 'token' | 'session', place: Location, history: History): string | undefined {
  const fragment = new URLSearchParams(place.hash.replace(/^#/, ''))
  const value = fragment.get(name)
  if (value === null) return undefined
  fragment.delete(name)
  const rest = fragment.toString()
  history.replaceState(history.state, '', place.pathname + place.search + (rest === '' ? '' : `#${rest}`))
  return value.trim() === '' ? undefined : value.trim()
}

export function loadSecret(places: Places): Secret | undefined {
  for (const storage of [places.session, places.device]) {
    const saved = read(storage)
    if (saved !== undefined) return saved
  }
  return undefined
}

function read(storage: Storage): Secret | undefined {
  try {
    const saved = parseObject(storage.getItem(STORAGE_KEY) ?? '')
    const value = asString(saved?.['value'])
    if (value === undefined) return undefined
    return { kind: saved?.['kind'] === 'password' ? 'password' : 'token', value }
  } catch {
    return undefined
  }
}

export function saveSecret(places: Places, secret: Secret, onThisDevice: boolean): void {
  forgetSecret(places)
  try {
    const storage = onThisDevice ? places.device : places.session
    storage.setItem(STORAGE_KEY, JSON.stringify(secret))
  } catch {
    // No storage: the secret lasts as long as the page.
  }
}

export function forgetSecret(places: Places): void {
  for (const storage of [places.session, places.device]) {
    try {
      storage.removeItem(STORAGE_KEY)
    } catch {
      // Nothing was kept there.
    }
  }
}
