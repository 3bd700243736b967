// The nodes of the gateway: which are here, what each may be used for, and what each asks for.
//
// Guarantees: what is shown is read again whenever the gateway says that something changed.

import { signal } from '@preact/signals'
import type { Hello } from '../protocol/hello'
import { asArray, asBoolean, asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import type { Gateway } from './gateway'

export interface NodeRow {
  readonly id: string
  readonly name: string
  readonly about: string
  readonly connected: boolean
  readonly active: boolean
  readonly lastSeen: number | undefined
  /** approved, pending-approval, pending-reapproval or unapproved. */
  readonly state: string
  readonly commands: readonly string[]
  /** What it asks to be used for, when it does. */
  readonly request: { readonly id: string; readonly commands: readonly string[] } | undefined
}

const texts = (value: unknown): readonly string[] =>
  asArray(value).map(asString).filter((text) => text !== undefined)

export function readNode(value: unknown): NodeRow | undefined {
  const entry = asObject(value)
  const id = asString(entry['nodeId'])
  if (id === undefined) return undefined
  const requestId = asString(entry['pendingRequestId'])
  const about = [asString(entry['platform']), asString(entry['version'])]
  return {
    id,
    name: asString(entry['displayName']) ?? id.slice(0, 12),
    about: about.filter((text) => text !== undefined).join(' '),
    connected: asBoolean(entry['connected']) ?? false,
    active: asBoolean(entry['active']) ?? false,
    lastSeen: asNumber(entry['lastSeenAtMs']),
    state: asString(entry['approvalState']) ?? 'unapproved',
    commands: texts(entry['commands']),
    request: requestId === undefined ? undefined : { id: requestId, commands: texts(entry['pendingDeclaredCommands']) },
  }
}

const STATES: ReadonlyMap<string, string> = new Map([
  ['approved', 'approved'],
  ['pending-approval', 'waits for approval'],
  ['pending-reapproval', 'asks for more'],
  ['unapproved', 'not approved'],
])

/** How far its approval is, in a few words. */
export const sayState = (state: string): string => STATES.get(state) ?? state

export class Nodes {
  readonly rows = signal<readonly NodeRow[]>([])
  onNews: (text: string) => void = () => undefined
  private reading = 0

  constructor(private readonly gateway: Gateway) {}

  async connected(hello: Hello): Promise<void> {
    if (hello.methods.has('node.list')) await this.load()
  }

  async load(): Promise<void> {
    const turn = ++this.reading
    const found = await this.gateway.tryRequest('node.list', {})
    if (found === undefined || turn !== this.reading) return
    this.rows.value = asArray(found['nodes']).map(readNode).filter((one) => one !== undefined)
  }

  heard(event: string, payload: JsonObject): void {
    if (event === 'node.pair.requested') {
      this.onNews(`${asString(payload['displayName']) ?? 'A node'} asks to be used`)
    }
    void this.load()
  }

  async approve(requestId: string): Promise<void> {
    await this.gateway.request('node.pair.approve', { requestId })
    await this.load()
  }

  async reject(requestId: string): Promise<void> {
    await this.gateway.request('node.pair.reject', { requestId })
    await this.load()
  }
}
