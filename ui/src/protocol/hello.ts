// The parts of `hello-ok` the page uses.

import { asArray, asNumber, asObject, asString, type JsonObject } from './json'

/** What a message may carry, in bytes. */
export interface Limits {
  readonly maxBytes: number
  readonly maxImageBytes: number
  readonly most: number
}

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
  readonly limits: Limits
  /** The gateway's clock minus ours. */
  readonly clockAheadMs: number
}

const strings = (value: unknown): Set<string> =>
  new Set(asArray(value).filter((item): item is string => typeof item === 'string'))

const FRAME_ROOM = 65_536
const MOST_FILES = 20
const MB = 1024 * 1024

/** Files travel in one frame, in base64: what is promised for them may be more than fits. */
export function readLimits(policy: JsonObject): Limits {
  const attachments = asObject(policy['attachments'])
  const frame = ((asNumber(policy['maxPayload']) ?? 25 * MB) - FRAME_ROOM) * 0.75
  const maxBytes = Math.max(0, Math.floor(Math.min(asNumber(attachments['maxBytes']) ?? 20 * MB, frame)))
  return { maxBytes, maxImageBytes: Math.min(asNumber(attachments['maxImageBytes']) ?? 6 * MB, maxBytes), most: MOST_FILES }
}

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
    limits: readLimits(asObject(payload['policy'])),
    clockAheadMs,
  }
}
