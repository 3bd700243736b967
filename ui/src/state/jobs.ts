// The scheduled jobs of the gateway: when each runs, how it went, and running one now.
//
// Guarantees: nothing is asked for before the view is opened; what is shown then is read again
// whenever the gateway says that something changed.

import { signal } from '@preact/signals'
import type { Hello } from '../protocol/hello'
import { asArray, asBoolean, asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import type { Gateway } from './gateway'
import { duration } from './time'

export interface JobRow {
  readonly id: string
  readonly name: string
  readonly schedule: string
  readonly agentId: string
  readonly enabled: boolean
  readonly running: boolean
  readonly nextAt: number | undefined
  readonly lastAt: number | undefined
  /** ok, error or skipped; empty before its first run. */
  readonly lastStatus: string
  readonly lastError: string
}

export interface JobRun {
  readonly id: string
  readonly at: number
  readonly status: string
  readonly took: number | undefined
  readonly text: string
}

const RUNS_SHOWN = 20
const JOBS_SHOWN = 200

export function readJob(value: unknown): JobRow | undefined {
  const entry = asObject(value)
  const id = asString(entry['id'])
  if (id === undefined) return undefined
  const state = asObject(entry['state'])
  return {
    id,
    name: asString(entry['displayName']) ?? asString(entry['name']) ?? id,
    schedule: saySchedule(asObject(entry['schedule'])),
    agentId: asString(entry['effectiveAgentId']) ?? asString(entry['agentId']) ?? '',
    enabled: asBoolean(entry['enabled']) ?? false,
    running: asNumber(state['runningAtMs']) !== undefined,
    nextAt: asNumber(state['nextRunAtMs']),
    lastAt: asNumber(state['lastRunAtMs']),
    lastStatus: asString(state['lastRunStatus']) ?? '',
    lastError: asString(state['lastError']) ?? '',
  }
}

export function readRun(value: unknown): JobRun | undefined {
  const entry = asObject(value)
  const at = asNumber(entry['runAtMs']) ?? asNumber(entry['ts'])
  if (at === undefined) return undefined
  return {
    id: asString(entry['runId']) ?? String(at),
    at,
    status: asString(entry['status']) ?? '',
    took: asNumber(entry['durationMs']),
    text: asString(entry['error']) ?? asString(entry['summary']) ?? '',
  }
}

/** When it runs, in a few words. */
export function saySchedule(schedule: JsonObject): string {
  const kind = asString(schedule['kind'])
  if (kind === 'every') return `every ${duration(asNumber(schedule['everyMs']) ?? 0)}`
  if (kind === 'cron') {
    const zone = asString(schedule['tz'])
    return `${asString(schedule['expr']) ?? ''}${zone === undefined ? '' : ` (${zone})`}`
  }
  if (kind === 'at') return `once, ${asString(schedule['at']) ?? ''}`
  return kind ?? ''
}

export class Jobs {
  readonly offered = signal(false)
  /** Undefined until it is known. */
  readonly rows = signal<readonly JobRow[] | undefined>(undefined)
  /** The job whose history is shown, and that history. */
  readonly chosen = signal('')
  readonly runs = signal<readonly JobRun[] | undefined>(undefined)
  private watched = false
  private reading = 0

  constructor(private readonly gateway: Gateway) {}

  connected(hello: Hello): void {
    this.offered.value = hello.methods.has('cron.list')
    if (this.watched && this.offered.value) void this.load()
  }

  /** The view is open. */
  async open(): Promise<void> {
    this.watched = true
    await this.load()
  }

  close(): void {
    this.watched = false
    this.chosen.value = ''
    this.runs.value = undefined
  }

  heard(payload: JsonObject): void {
    if (!this.watched) return
    void this.load()
    if (payload['action'] === 'finished' && asString(payload['jobId']) === this.chosen.value) void this.loadRuns()
  }

  async load(): Promise<void> {
    const turn = ++this.reading
    const found = await this.gateway.tryRequest('cron.list', { includeDisabled: true, limit: JOBS_SHOWN })
    if (found === undefined || turn !== this.reading) return
    this.rows.value = asArray(found['jobs']).map(readJob).filter((one) => one !== undefined)
  }

  async choose(id: string): Promise<void> {
    this.chosen.value = id
    this.runs.value = undefined
    if (id !== '') await this.loadRuns()
  }

  async enable(id: string, enabled: boolean): Promise<void> {
    await this.gateway.request('cron.update', { id, patch: { enabled } })
    await this.load()
  }

  /** Returns why it does not run, or an empty text. */
  async run(id: string): Promise<string> {
    const answer = await this.gateway.request('cron.run', { id, mode: 'force' })
    return asBoolean(answer['enqueued']) === true ? '' : (asString(answer['reason']) ?? 'not now')
  }

  private async loadRuns(): Promise<void> {
    const id = this.chosen.value
    const found = await this.gateway.tryRequest('cron.runs', { id, limit: RUNS_SHOWN })
    if (found === undefined || id !== this.chosen.value) return
    this.runs.value = asArray(found['entries']).map(readRun).filter((one) => one !== undefined)
  }
}
