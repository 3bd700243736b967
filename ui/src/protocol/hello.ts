// The parts of `hello-ok` the page uses.

import { asArray, asNumber, asObject, asString, type JsonObject } from './json'

export interface Hello {
  readonly serverVersion: string
  readonly connId: string
  readonly methods: ReadonlySet<string>
  readonly scopes: ReadonlySet<string>
  readonly health: JsonObject
  readonly uptimeMs: number
  readonly defaultAgentId: string
  /** Where the canvas is; undefined: there is none, or not for us. */
  readonly canvasUrl: string | undefined
  readonly mainSessionKey: string
  readonly tickIntervalMs: number
  /** The gateway's clock minus ours. */
  readonly clockAheadMs: number
}

const strings = (value: unknown): Set<string> =>
  new Set(asArray(value).filter((item): item is string => typeof item === 'string'))

export function readHello(payload: JsonObject, clockAheadMs = 0): Hello {
  const server = asObject(payload['server'])
  const snapshot = asObject(payload['snapshot'])
  const defaults = asObject(snapshot['sessionDefaults'])
  const health = asObject(snapshot['health'])
  const agentId = asString(defaults['defaultAgentId']) ?? asString(health['defaultAgentId']) ?? 'main'
  return {
    serverVersion: asString(server['version']) ?? '',
    connId: asString(server['connId']) ?? '',
    methods: strings(asObject(payload['features'])['methods']),
    scopes: strings(asObject(payload['auth'])['scopes']),
    health,
    uptimeMs: asNumber(snapshot['uptimeMs']) ?? 0,
    defaultAgentId: agentId,
    canvasUrl: asString(asObject(payload['pluginSurfaceUrls'])['canvas']),
    mainSessionKey: asString(defaults['mainSessionKey']) ?? `agent:${agentId}:main`,
    tickIntervalMs: asNumber(asObject(payload['policy'])['tickIntervalMs']) ?? 30_000,
    clockAheadMs,
  }
}
