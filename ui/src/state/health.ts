// How the gateway is: the hello snapshot, then `health` events, then a question when asked.

import { computed, signal } from '@preact/signals'
import type { Hello } from '../protocol/hello'
import { asArray, asBoolean, asNumber, asObject, asString, isObject, type JsonObject } from '../protocol/json'
import type { Gateway } from './gateway'

export interface ChannelHealth {
  readonly id: string
  readonly label: string
  readonly state: 'on' | 'off' | 'unset'
}

export interface HealthSummary {
  readonly ok: boolean
  readonly sessions: number | undefined
  readonly agents: readonly string[]
  readonly channels: readonly ChannelHealth[]
  readonly checkedAt: number | undefined
}

export function readHealth(health: JsonObject): HealthSummary {
  const labels = asObject(health['channelLabels'])
  const channels = asObject(health['channels'])
  const listed = asArray(health['channelOrder']).filter((id): id is string => typeof id === 'string')
  const order = listed.length > 0 ? listed : Object.keys(channels)
  const degraded = asBoolean(asObject(health['eventLoop'])['degraded']) ?? false
  return {
    ok: health['ok'] !== false && !degraded,
    sessions: asNumber(asObject(health['sessions'])['count']),
    agents: asArray(health['agents']).map((value) => {
      const agent = asObject(value)
      return asString(agent['name']) ?? asString(agent['agentId']) ?? 'agent'
    }),
    channels: order.map((id) => ({ id, label: asString(labels[id]) ?? id, state: channelState(channels[id]) })),
    checkedAt: asNumber(health['ts']),
  }
}

function channelState(value: unknown): ChannelHealth['state'] {
  if (!isObject(value) || value['configured'] === false) return 'unset'
  const up = value['connected'] ?? value['running'] ?? value['linked'] ?? value['ok']
  return up === false ? 'off' : 'on'
}

export class Health {
  private readonly raw = signal<JsonObject>({})
  private readonly startedAt = signal<number | undefined>(undefined)
  readonly roundTripMs = signal<number | undefined>(undefined)
  readonly runtimeVersion = signal<string | undefined>(undefined)
  readonly checking = signal(false)
  readonly summary = computed(() => readHealth(this.raw.value))

  constructor(private readonly gateway: Gateway) {}

  connected(hello: Hello, now: number): void {
    this.raw.value = hello.health
    this.startedAt.value = now - hello.uptimeMs
  }

  changed(payload: JsonObject): void {
    this.raw.value = payload
  }

  uptimeMs(now: number): number | undefined {
    const since = this.startedAt.value
    return since === undefined ? undefined : now - since
  }

  async check(): Promise<void> {
    this.checking.value = true
    const before = performance.now()
    const health = await this.gateway.tryRequest('health', {})
    if (health !== undefined) {
      this.roundTripMs.value = performance.now() - before
      this.raw.value = health
    }
    const status = await this.gateway.tryRequest('status', {})
    this.runtimeVersion.value = asString(status?.['runtimeVersion'])
    this.checking.value = false
  }
}
