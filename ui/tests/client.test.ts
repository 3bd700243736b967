import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { verify } from '@noble/ed25519'
import { GatewayClient, type ConnectionState, type SocketLike } from '../src/protocol/client'
import { fromBase64url, loadDeviceIdentity, signaturePayload } from '../src/protocol/device'
import { ConnectionLostError } from '../src/protocol/errors'
import { asArray, asObject, asString, parseObject, type JsonObject } from '../src/protocol/json'

class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  onerror: (() => void) | null = null
  readonly sent: JsonObject[] = []
  closed: number | undefined
  send(data: string): void {
    this.sent.push(parseObject(data) ?? {})
  }
  close(code?: number): void {
    this.closed = code
  }
  receive(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) })
  }
  event(event: string, payload: object, seq?: number): void {
    this.receive({ type: 'event', event, payload, ...(seq === undefined ? {} : { seq }) })
  }
  answer(index: number, result: { payload: object } | { error: object }): void {
    this.receive({ type: 'res', id: this.sent[index]?.['id'], ok: 'payload' in result, ...result })
  }
  die(): void {
    this.onclose?.({ code: 1006, reason: '' })
  }
}

const HELLO = { type: 'hello-ok', protocol: 4, server: { version: '1', connId: 'c' }, policy: { tickIntervalMs: 30_000 } }

function setUp() {
  const sockets: FakeSocket[] = []
  const states: ConnectionState[] = []
  const events: string[] = []
  const onGap = vi.fn()
  const client = new GatewayClient({
    url: 'ws://test/',
    device: loadDeviceIdentity(localStorage),
    openSocket: () => {
      const socket = new FakeSocket()
      sockets.push(socket)
      return socket
    },
    now: Date.now,
    random: () => 1,
    onState: (state) => states.push(state),
    onEvent: (name) => events.push(name),
    onGap,
  })
  const socket = (): FakeSocket => sockets.at(-1) ?? new FakeSocket()
  const connect = async (): Promise<void> => {
    socket().event('connect.challenge', { nonce: 'n', ts: 42 })
    socket().answer(0, { payload: HELLO })
    await vi.advanceTimersByTimeAsync(0)
  }
  const phase = (): string => states.at(-1)?.phase ?? ''
  return { client, sockets, states, events, onGap, socket, connect, phase }
}

describe('GatewayClient', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  it('signs the challenge with the device key and reports the hello', async () => {
    const t = setUp()
    t.client.start({ kind: 'token', value: 'tok' })
    await t.connect()
    expect(t.phase()).toBe('connected')
    const params = asObject(t.socket().sent[0]?.['params'])
    const device = asObject(params['device'])
    expect(params['auth']).toEqual({ token: 'tok' })
    const scopes = asArray(params['scopes']).map(String)
    const payload = signaturePayload(asString(device['id']) ?? '', {
      clientId: 'openclaw-control-ui', clientMode: 'webchat', role: 'operator', scopes,
      token: 'tok', nonce: 'n', signedAt: 42, platform: 'web',
    })
    const bytes = (name: string): Uint8Array => fromBase64url(asString(device[name]) ?? '')
    expect(verify(bytes('signature'), new TextEncoder().encode(payload), bytes('publicKey'))).toBe(true)
  })

  it('keeps the same device key', () => {
    expect(loadDeviceIdentity(localStorage).id).toBe(loadDeviceIdentity(localStorage).id)
  })

  it('resolves and rejects requests by id', async () => {
    const t = setUp()
    t.client.start(undefined)
    await t.connect()
    const good = t.client.request('health')
    const bad = t.client.request('nope')
    t.socket().answer(2, { error: { code: 'INVALID_REQUEST', message: 'unknown method: nope' } })
    t.socket().answer(1, { payload: { ok: true } })
    await expect(good).resolves.toEqual({ ok: true })
    await expect(bad).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })

  it('reports a hole in the event sequence once, and only a hole', async () => {
    const t = setUp()
    t.client.start(undefined)
    await t.connect()
    for (const seq of [1, 2, 3]) t.socket().event('tick', {}, seq)
    expect(t.onGap).not.toHaveBeenCalled()
    t.socket().event('tick', {}, 6)
    t.socket().event('tick', {}, 7)
    expect(t.onGap).toHaveBeenCalledTimes(1)
    expect(t.events).toHaveLength(5)
  })

  it('rejects what was pending, backs off, and starts counting events afresh', async () => {
    const t = setUp()
    t.client.start(undefined)
    await t.connect()
    t.socket().event('tick', {}, 9)
    const lost = t.client.request('chat.send')
    t.socket().die()
    await expect(lost).rejects.toBeInstanceOf(ConnectionLostError)
    expect(t.states.at(-1)).toMatchObject({ phase: 'waiting', attempt: 1, retryAt: Date.now() + 500 })
    await vi.advanceTimersByTimeAsync(500)
    t.socket().die()
    expect(t.states.at(-1)).toMatchObject({ phase: 'waiting', attempt: 2, retryAt: Date.now() + 1000 })
    await vi.advanceTimersByTimeAsync(1000)
    await t.connect()
    t.socket().event('tick', {}, 1)
    expect(t.phase()).toBe('connected')
    expect(t.onGap).not.toHaveBeenCalled()
    expect(t.sockets).toHaveLength(3)
  })

  it('stops at a refusal that waiting cannot cure', async () => {
    const t = setUp()
    t.client.start({ kind: 'token', value: 'bad' })
    t.socket().event('connect.challenge', { nonce: 'n', ts: 1 })
    t.socket().answer(0, { error: { code: 'INVALID_REQUEST', message: 'no', details: { code: 'AUTH_TOKEN_MISMATCH' } } })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(t.phase()).toBe('refused')
    expect(t.sockets).toHaveLength(1)
  })

  it('waits as long as a starting gateway asks', async () => {
    const t = setUp()
    t.client.start(undefined)
    t.socket().event('connect.challenge', { nonce: 'n', ts: 1 })
    t.socket().answer(0, { error: { code: 'UNAVAILABLE', message: 'starting', retryable: true, retryAfterMs: 4000 } })
    await vi.advanceTimersByTimeAsync(0)
    expect(t.states.at(-1)).toMatchObject({ phase: 'waiting', retryAt: Date.now() + 4000 })
  })

  it('keeps asking while the device waits for approval', async () => {
    const t = setUp()
    t.client.start(undefined)
    t.socket().event('connect.challenge', { nonce: 'n', ts: 1 })
    t.socket().answer(0, { error: { code: 'NOT_PAIRED', message: 'pairing required', details: { code: 'PAIRING_REQUIRED' } } })
    await vi.advanceTimersByTimeAsync(5000)
    expect(t.sockets).toHaveLength(2)
  })

  it('gives up a silent connection', async () => {
    const t = setUp()
    t.client.start(undefined)
    await t.connect()
    await vi.advanceTimersByTimeAsync(45_000)
    t.socket().event('tick', {}, 1)
    await vi.advanceTimersByTimeAsync(45_000)
    expect(t.phase()).toBe('connected')
    await vi.advanceTimersByTimeAsync(20_000)
    expect(t.sockets[0]?.closed).toBe(4000)
    expect(t.phase()).not.toBe('connected')
  })
})
