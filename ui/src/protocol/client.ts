// The gateway connection: challenge, signed connect, requests, events, reconnect.
//
// Guarantees: one live socket at most; requests pending on a lost socket are rejected with
// ConnectionLostError; a hole in the per-connection event `seq` is reported before the event
// that revealed it; refusals that cannot get better stop the reconnecting.
// Not here: what the events mean (state/), where the token is kept (state/credentials.ts).
// Source: OpenClaw gateway protocol 4, transport and handshake.

import { backoffMs } from './backoff'
import { proveDevice, type DeviceIdentity } from './device'
import { ConnectionLostError, GatewayError, isFinalRefusal, toGatewayError } from './errors'
import { readHello, type Hello } from './hello'
import { randomId } from './ids'
import { asNumber, asObject, asString, parseObject, type JsonObject } from './json'

const CLIENT = { id: 'openclaw-control-ui', mode: 'webchat', version: '0.1.0', platform: 'web' }
const ROLE = 'operator'
const SCOPES = ['operator.admin', 'operator.read', 'operator.write', 'operator.approvals', 'operator.pairing']
const HANDSHAKE_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
const PAIRING_RETRY_MS = 5_000

export interface Secret {
  readonly kind: 'token' | 'password'
  readonly value: string
}

export type ConnectionState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'connecting' }
  | { readonly phase: 'connected'; readonly hello: Hello }
  | { readonly phase: 'waiting'; readonly retryAt: number; readonly attempt: number; readonly reason?: GatewayError }
  | { readonly phase: 'refused'; readonly error: GatewayError }

export interface SocketLike {
  onopen: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: (() => void) | null
  send(data: string): void
  close(code?: number, reason?: string): void
}

export interface ClientParts {
  readonly url: string
  readonly device: DeviceIdentity
  readonly openSocket: (url: string) => SocketLike
  readonly now: () => number
  readonly random: () => number
  readonly onState: (state: ConnectionState) => void
  readonly onEvent: (event: string, payload: JsonObject) => void
  readonly onGap: () => void
}

interface Pending {
  readonly resolve: (payload: JsonObject) => void
  readonly reject: (error: Error) => void
  readonly timer: ReturnType<typeof setTimeout>
}

type Timer = ReturnType<typeof setTimeout> | undefined

export class GatewayClient {
  private socket: SocketLike | undefined
  private secret: Secret | undefined
  private connected = false
  private attempt = 0
  private lastSeq = 0
  private pending = new Map<string, Pending>()
  private retryTimer: Timer
  private watchTimer: Timer
  private silenceLimitMs = 60_000

  constructor(private readonly parts: ClientParts) {}

  start(secret: Secret | undefined): void {
    this.stop()
    this.secret = secret
    this.attempt = 0
    this.open()
  }

  stop(): void {
    clearTimeout(this.retryTimer)
    this.drop(1000, 'bye')
    this.parts.onState({ phase: 'idle' })
  }

  /** Try now instead of waiting for the countdown. */
  retryNow(): void {
    if (this.socket !== undefined) return
    clearTimeout(this.retryTimer)
    this.open()
  }

  get isConnected(): boolean {
    return this.connected
  }

  request(method: string, params: JsonObject = {}, timeoutMs = REQUEST_TIMEOUT_MS): Promise<JsonObject> {
    if (!this.connected) return Promise.reject(new ConnectionLostError())
    return this.call(method, params, timeoutMs)
  }

  private call(method: string, params: JsonObject, timeoutMs: number): Promise<JsonObject> {
    const id = randomId()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id)
        reject(new GatewayError('AGENT_TIMEOUT', `The gateway did not answer ${method} in time.`))
      }, timeoutMs)
      this.pending.set(id, { resolve, reject, timer })
      this.socket?.send(JSON.stringify({ type: 'req', id, method, params }))
    })
  }

  private open(): void {
    this.parts.onState({ phase: 'connecting' })
    const socket = this.parts.openSocket(this.parts.url)
    this.socket = socket
    this.lastSeq = 0
    this.watch(HANDSHAKE_TIMEOUT_MS)
    socket.onmessage = ({ data }) => {
      if (socket === this.socket && typeof data === 'string') this.receive(data)
    }
    socket.onclose = () => {
      if (socket === this.socket) this.lost()
    }
  }

  private receive(text: string): void {
    const frame = parseObject(text)
    if (frame === undefined) return
    if (this.connected) this.watch(this.silenceLimitMs)
    if (frame['type'] === 'res') this.settle(frame)
    else if (frame['type'] === 'event') this.deliver(frame)
  }

  private deliver(frame: JsonObject): void {
    const name = asString(frame['event']) ?? ''
    const payload = asObject(frame['payload'])
    if (name === 'connect.challenge') {
      void this.shakeHands(payload)
      return
    }
    const seq = asNumber(frame['seq'])
    if (seq !== undefined) {
      const gap = this.lastSeq > 0 && seq > this.lastSeq + 1
      this.lastSeq = Math.max(this.lastSeq, seq)
      if (gap) this.parts.onGap()
    }
    this.parts.onEvent(name, payload)
  }

  private settle(frame: JsonObject): void {
    const id = asString(frame['id']) ?? ''
    const waiting = this.pending.get(id)
    if (waiting === undefined) return
    this.pending.delete(id)
    clearTimeout(waiting.timer)
    const payload = frame['payload']
    // A few methods answer with a bare list.
    if (frame['ok'] === true) waiting.resolve(Array.isArray(payload) ? { items: payload } : asObject(payload))
    else waiting.reject(toGatewayError(frame['error']))
  }

  private async shakeHands(challenge: JsonObject): Promise<void> {
    const socket = this.socket
    const before = this.parts.now()
    try {
      const payload = await this.call('connect', this.connectParams(challenge), HANDSHAKE_TIMEOUT_MS)
      if (socket !== this.socket) return
      const hello = readHello(payload, (asNumber(challenge['ts']) ?? before) - before)
      this.connected = true
      this.attempt = 0
      this.silenceLimitMs = hello.tickIntervalMs * 2 + 1000
      this.watch(this.silenceLimitMs)
      this.parts.onState({ phase: 'connected', hello })
    } catch (error) {
      if (socket === this.socket && error instanceof GatewayError) this.refused(error)
    }
  }

  private connectParams(challenge: JsonObject): JsonObject {
    const value = this.secret?.value ?? ''
    const token = this.secret?.kind === 'token' ? value : ''
    const proof = proveDevice(this.parts.device, {
      clientId: CLIENT.id,
      clientMode: CLIENT.mode,
      role: ROLE,
      scopes: SCOPES,
      token,
      nonce: asString(challenge['nonce']) ?? '',
      // The gateway's own clock: ours may be wrong, and the nonce already proves freshness.
      signedAt: asNumber(challenge['ts']) ?? this.parts.now(),
      platform: CLIENT.platform,
    })
    return {
      minProtocol: 4,
      maxProtocol: 4,
      client: CLIENT,
      role: ROLE,
      scopes: SCOPES,
      caps: ['tool-events'],
      device: proof,
      ...(this.secret === undefined ? {} : { auth: { [this.secret.kind]: value } }),
      locale: navigator.language,
    }
  }

  private refused(error: GatewayError): void {
    this.drop(1000, 'refused')
    if (error.detailCode === 'PAIRING_REQUIRED') {
      this.parts.onState({ phase: 'refused', error })
      this.retryTimer = setTimeout(() => this.open(), PAIRING_RETRY_MS)
    } else if (isFinalRefusal(error)) {
      this.parts.onState({ phase: 'refused', error })
    } else {
      this.wait(error)
    }
  }

  private lost(): void {
    this.drop(1000, 'lost')
    this.wait(undefined)
  }

  private wait(reason: GatewayError | undefined): void {
    const delayMs = Math.max(backoffMs(this.attempt, this.parts.random), reason?.retryAfterMs ?? 0)
    this.attempt += 1
    const retryAt = this.parts.now() + delayMs
    this.retryTimer = setTimeout(() => this.open(), delayMs)
    this.parts.onState({
      phase: 'waiting',
      retryAt,
      attempt: this.attempt,
      ...(reason === undefined ? {} : { reason }),
    })
  }

  private drop(code: number, reason: string): void {
    const socket = this.socket
    this.socket = undefined
    this.connected = false
    clearTimeout(this.watchTimer)
    const pending = [...this.pending.values()]
    this.pending.clear()
    for (const waiting of pending) {
      clearTimeout(waiting.timer)
      waiting.reject(new ConnectionLostError())
    }
    if (socket !== undefined) {
      socket.onmessage = null
      socket.onclose = null
      socket.close(code, reason)
    }
  }

  /** Nothing heard for this long means the socket is dead, whatever the browser believes. */
  private watch(limitMs: number): void {
    clearTimeout(this.watchTimer)
    this.watchTimer = setTimeout(() => {
      this.drop(4000, 'tick timeout')
      this.wait(undefined)
    }, limitMs)
  }
}
