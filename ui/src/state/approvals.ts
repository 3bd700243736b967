// What agents want to do and a person has to decide: read once, then kept current by events.
//
// Guarantees: an approval is shown from when it is known until it is over, whoever decided it; the
// time left is reckoned on the gateway's clock.

import { signal } from '@preact/signals'
import { GatewayError } from '../protocol/errors'
import type { Hello } from '../protocol/hello'
import { asArray, asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import { sayError, type Gateway } from './gateway'

export type Decision = 'allow-once' | 'allow-always' | 'deny'

export interface Approval {
  readonly id: string
  readonly command: string
  readonly agentId: string
  readonly sessionKey: string
  readonly cwd: string
  readonly host: string
  readonly warning: string
  readonly allowed: readonly Decision[]
  readonly expiresAt: number
}

const DECISIONS: readonly Decision[] = ['allow-once', 'allow-always', 'deny']
const OVER = new Set(['APPROVAL_NOT_FOUND', 'APPROVAL_ALREADY_RESOLVED'])

export function readApproval(value: unknown): Approval | undefined {
  const entry = asObject(value)
  const request = asObject(entry['request'])
  const id = asString(entry['id'])
  const expiresAt = asNumber(entry['expiresAtMs'])
  if (id === undefined || expiresAt === undefined) return undefined
  const allowed = asArray(request['allowedDecisions'])
  return {
    id,
    command: asString(request['command']) ?? '',
    agentId: asString(request['agentId']) ?? '',
    sessionKey: asString(request['sessionKey']) ?? '',
    cwd: asString(request['cwd']) ?? '',
    host: asString(request['host']) ?? '',
    warning: asString(request['warningText']) ?? '',
    // No is always possible, whatever the gateway forgot to say.
    allowed: DECISIONS.filter((one) => one === 'deny' || allowed.includes(one)),
    expiresAt,
  }
}

export class Approvals {
  readonly pending = signal<readonly Approval[]>([])
  /** What went wrong with a decision, by approval. */
  readonly problems = signal<ReadonlyMap<string, string>>(new Map())
  readonly deciding = signal<ReadonlySet<string>>(new Set())
  /** The gateway's clock minus ours. */
  readonly aheadMs = signal(0)
  onNews: (text: string) => void = () => undefined

  constructor(
    private readonly gateway: Gateway,
    /** The approval a link led to; it gets the focus when it appears. */
    private linked: string | undefined = undefined,
  ) {}

  async connected(hello: Hello): Promise<void> {
    this.aheadMs.value = hello.clockAheadMs
    if (!hello.methods.has('exec.approval.list')) return
    const answer = await this.gateway.tryRequest('exec.approval.list', {})
    if (answer === undefined) return
    const found = asArray(answer['items']).map(readApproval).filter((one) => one !== undefined)
    this.pending.value = found
    if (this.linked !== undefined && !found.some((one) => one.id === this.linked)) {
      this.linked = undefined
      this.onNews('That approval is over.')
    }
  }

  /** Whether the focus belongs to this approval; asked once, when it appears. */
  takeLinked(id: string): boolean {
    if (this.linked !== id) return false
    this.linked = undefined
    return true
  }

  requested(payload: JsonObject): void {
    const approval = readApproval(payload)
    if (approval === undefined || this.pending.value.some((one) => one.id === approval.id)) return
    this.pending.value = [...this.pending.value, approval]
    this.onNews(`Approval wanted: ${approval.command.slice(0, 200)}`)
  }

  resolved(payload: JsonObject): void {
    const id = asString(payload['id'])
    if (id === undefined || !this.pending.value.some((one) => one.id === id)) return
    this.remove(id)
    const decision = asString(payload['decision'])
    const ends = { 'allow-once': 'Allowed.', 'allow-always': 'Allowed always.', deny: 'Denied.' }
    this.onNews(decision !== undefined && decision in ends ? ends[decision as Decision] : 'The approval is over.')
  }

  async decide(id: string, decision: Decision): Promise<void> {
    if (this.deciding.value.has(id)) return
    this.deciding.value = new Set([...this.deciding.value, id])
    this.note(id, undefined)
    try {
      await this.gateway.request('exec.approval.resolve', { id, decision })
      this.resolved({ id, decision })
    } catch (error) {
      if (error instanceof GatewayError && OVER.has(asString(error.details['reason']) ?? '')) {
        this.remove(id)
        this.onNews('It was decided elsewhere, or too late.')
      } else this.note(id, sayError(error))
    } finally {
      this.deciding.value = new Set([...this.deciding.value].filter((one) => one !== id))
    }
  }

  private remove(id: string): void {
    this.pending.value = this.pending.value.filter((one) => one.id !== id)
    this.note(id, undefined)
  }

  private note(id: string, problem: string | undefined): void {
    const problems = new Map(this.problems.value)
    if (problem === undefined) problems.delete(id)
    else problems.set(id, problem)
    this.problems.value = problems
  }
}

/** The approval an address leads to, and the address without it. */
export function linkedApproval(href: string, base: string): { readonly id: string; readonly rest: string } | undefined {
  const url = new URL(href)
  const prefix = new URL('./approve/', base).pathname
  if (!url.pathname.startsWith(prefix)) return undefined
  const written = url.pathname.slice(prefix.length)
  if (written === '' || written.includes('/')) return undefined
  url.pathname = new URL('./', base).pathname
  try {
    return { id: decodeURIComponent(written), rest: url.href }
  } catch {
    return undefined
  }
}
