// The list of conversations: read once, then kept current by `sessions.changed`.

import { signal, type ReadonlySignal } from '@preact/signals'
import { asArray, asBoolean, asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import type { Gateway } from './gateway'

export interface SessionRow {
  readonly key: string
  readonly title: string
  readonly preview: string
  readonly channel: string
  readonly agentId: string
  readonly updatedAt: number
  readonly running: boolean
  readonly main: boolean
}

export interface Agent {
  readonly id: string
  readonly name: string
  /** What answers for it: `echo` only repeats. */
  readonly runtime: string
}

const LIST_PARAMS = { includeDerivedTitles: true, includeLastMessage: true }
const FIRST = 100
const MOST = 1000
const REFRESH_DELAY_MS = 250
/** The channel of pages like this one: nothing to point out. */
const OURS = 'webchat'

export function titleOf(row: JsonObject, key: string): string {
  for (const field of ['label', 'displayName', 'derivedTitle', 'autoLabel']) {
    const text = asString(row[field])?.trim()
    if (text !== undefined && text !== '' && text !== key) return text
  }
  return titleFromKey(key)
}

export function titleFromKey(key: string): string {
  const parts = key.split(':')
  const tail = (parts[0] === 'agent' ? parts.slice(2) : parts).join(' · ')
  if (tail === 'main') return 'Main'
  if (/^web-[0-9a-f-]+$/.test(tail)) return 'New chat'
  return tail === '' ? key : tail
}

export const agentOfKey = (key: string): string => /^agent:([^:]+):/.exec(key)?.[1] ?? 'main'

export function readRow(value: unknown): SessionRow | undefined {
  const row = asObject(value)
  const key = asString(row['key'])
  if (key === undefined || row['archived'] === true) return undefined
  return {
    key,
    title: titleOf(row, key),
    preview: asString(row['lastMessagePreview']) ?? '',
    channel: row['channel'] === OURS ? '' : (asString(row['channel']) ?? ''),
    agentId: asString(row['agentId']) ?? agentOfKey(key),
    updatedAt: asNumber(row['lastActivityAt']) ?? asNumber(row['updatedAt']) ?? 0,
    running: asBoolean(row['hasActiveRun']) ?? row['status'] === 'running',
    main: asBoolean(row['isMain']) ?? /^agent:[^:]+:main$/.test(key),
  }
}

const newestFirst = (rows: readonly SessionRow[]): SessionRow[] =>
  [...rows].sort((a, b) => b.updatedAt - a.updatedAt)

/** One `sessions.changed` applied; undefined means the list has to be read again. */
export function applyChange(rows: readonly SessionRow[], payload: JsonObject): SessionRow[] | undefined {
  const key = asString(payload['sessionKey'])
  if (key === undefined) return undefined
  const others = rows.filter((row) => row.key !== key)
  if (payload['reason'] === 'delete') return others
  const row = readRow(payload['session'])
  if (row === undefined) return undefined
  const old = rows.find((candidate) => candidate.key === key)
  // Change events often come without the derived title and preview the list had.
  const title = row.title === titleFromKey(key) && old !== undefined ? old.title : row.title
  const preview = row.preview === '' && old !== undefined ? old.preview : row.preview
  return newestFirst([...others, { ...row, title, preview }])
}

export class Sessions {
  private readonly list = signal<readonly SessionRow[]>([])
  private readonly ready = signal(false)
  readonly agents = signal<readonly Agent[]>([])
  /** Older conversations are there than those of the list. */
  readonly hasMore = signal(false)
  private wanted = FIRST
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly gateway: Gateway) {}

  get rows(): ReadonlySignal<readonly SessionRow[]> {
    return this.list
  }

  get loaded(): ReadonlySignal<boolean> {
    return this.ready
  }

  async connected(): Promise<void> {
    void this.loadAgents()
    await this.gateway.tryRequest('sessions.subscribe', {})
    await this.refresh()
  }

  async refresh(): Promise<void> {
    const response = await this.gateway.tryRequest('sessions.list', { ...LIST_PARAMS, limit: this.wanted })
    if (response === undefined) return
    const rows = asArray(response['sessions']).map(readRow)
    this.list.value = newestFirst(rows.filter((row) => row !== undefined))
    this.hasMore.value = response['hasMore'] === true && this.wanted < MOST
    this.ready.value = true
  }

  /** Read on; the whole list where something is looked for in it. */
  async showMore(all = false): Promise<void> {
    if (!this.hasMore.value) return
    this.wanted = all ? MOST : Math.min(MOST, this.wanted * 3)
    await this.refresh()
  }

  changed(payload: JsonObject): void {
    const rows = applyChange(this.list.value, payload)
    if (rows === undefined) this.refreshSoon()
    else this.list.value = rows
  }

  /** Titles and previews are made by the gateway after a message: ask once things settle. */
  refreshSoon(): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.refresh(), REFRESH_DELAY_MS)
  }

  async reset(key: string): Promise<void> {
    await this.gateway.request('sessions.reset', { key, reason: 'reset' })
    this.refreshSoon()
  }

  async remove(key: string): Promise<void> {
    await this.gateway.request('sessions.delete', { key, deleteTranscript: true })
    this.list.value = this.list.value.filter((row) => row.key !== key)
  }

  async loadAgents(): Promise<void> {
    const response = await this.gateway.tryRequest('agents.list', {})
    this.agents.value = asArray(response?.['agents']).map((value) => {
      const agent = asObject(value)
      const id = asString(agent['id']) ?? 'main'
      const name = asString(asObject(agent['identity'])['name']) ?? asString(agent['name'])
      return { id, name: name ?? id, runtime: asString(asObject(agent['agentRuntime'])['id']) ?? '' }
    })
  }
}
