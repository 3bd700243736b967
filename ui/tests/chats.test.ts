import { describe, expect, it, vi } from 'vitest'
import { ConnectionLostError, GatewayError } from '../src/protocol/errors'
import type { JsonObject } from '../src/protocol/json'
import { Chats } from '../src/state/chats'
import type { Gateway } from '../src/state/gateway'

type Answer = (method: string, params: JsonObject) => Promise<JsonObject>

function setUp(answer: Answer) {
  const calls: [string, JsonObject][] = []
  const request: Answer = (method, params) => {
    calls.push([method, params])
    return answer(method, params)
  }
  const gateway = { request, tryRequest: (method: string, params: JsonObject) => request(method, params) }
  const chats = new Chats(gateway as unknown as Gateway, () => 7)
  const sends = (): JsonObject[] => calls.filter(([method]) => method === 'chat.send').map(([, params]) => params)
  const reads = (): number => calls.filter(([method]) => method === 'chat.history').length
  return { chats, sends, reads }
}

const flush = (): Promise<void> => new Promise((resolve) => setTimeout(resolve))
const accept: Answer = (method, params) =>
  Promise.resolve(method === 'chat.send' ? { runId: params['idempotencyKey'], status: 'started' } : { messages: [] })

describe('Chats', () => {
  it('shows a message at once and marks it accepted', async () => {
    const t = setUp(accept)
    t.chats.open('s')
    await flush()
    t.chats.send('hello')
    expect(t.chats.current.value.entries).toMatchObject([{ text: 'hello', delivery: 'sending' }])
    await flush()
    expect(t.chats.current.value.entries).toMatchObject([{ delivery: 'accepted' }])
  })

  it('sends again with the same key after a reconnect, until it is answered', async () => {
    let online = false
    const t = setUp((method, params) => (online ? accept(method, params) : Promise.reject(new ConnectionLostError())))
    t.chats.open('s')
    t.chats.send('hello')
    await flush()
    online = true
    t.chats.resync()
    await flush()
    t.chats.resync()
    await flush()
    const keys = t.sends().map((params) => params['idempotencyKey'])
    expect(keys).toHaveLength(2)
    expect(new Set(keys).size).toBe(1)
    expect(t.chats.current.value.entries).toMatchObject([{ delivery: 'accepted' }])
  })

  it('offers a retry with a new key when the gateway refused', async () => {
    let busy = true
    const t = setUp((method, params) =>
      method === 'chat.send' && busy ? Promise.reject(new GatewayError('UNAVAILABLE', 'busy')) : accept(method, params))
    t.chats.open('s')
    t.chats.send('hello')
    await flush()
    const failed = t.chats.current.value.entries[0]
    expect(failed).toMatchObject({ delivery: 'failed', error: 'busy' })
    busy = false
    if (failed?.kind === 'user') t.chats.retry(failed)
    await flush()
    expect(t.chats.current.value.entries).toMatchObject([{ delivery: 'accepted' }])
    const [first, second] = t.sends()
    expect(first?.['idempotencyKey']).not.toBe(second?.['idempotencyKey'])
  })

  it('reads the transcript for runs of other clients, when they begin and when they end', async () => {
    const t = setUp(accept)
    t.chats.open('s')
    await flush()
    const ended = vi.fn()
    t.chats.onReplyEnd = ended
    t.chats.chatEvent({ sessionKey: 's', runId: 'x', state: 'delta', deltaText: 'hi' })
    await flush()
    t.chats.chatEvent({ sessionKey: 's', runId: 'x', state: 'final' })
    await flush()
    expect(t.reads()).toBe(3)
    expect(ended).toHaveBeenCalledWith('s', 'hi', false)
  })

  it('ignores conversations that are not open', () => {
    const t = setUp(accept)
    t.chats.chatEvent({ sessionKey: 'other', runId: 'x', state: 'delta', deltaText: 'hi' })
    expect(t.reads()).toBe(0)
  })

  it('sends files in base64, and sends them again when it is asked to', async () => {
    let refuses = true
    const t = setUp((method, params) =>
      refuses && method === 'chat.send' ? Promise.reject(new GatewayError('INVALID_REQUEST', 'the store is full')) : accept(method, params))
    t.chats.open('s')
    await flush()
    t.chats.send('', [{ kind: 'file', name: 'a.txt', mimeType: 'text/plain', blob: new Blob(['hi']), origin: 'paste' }])
    await vi.waitFor(() => expect(t.chats.current.value.entries).toMatchObject([{ delivery: 'failed', error: 'the store is full' }]))
    refuses = false
    const [failed] = t.chats.current.value.entries
    if (failed?.kind === 'user') t.chats.retry(failed)
    await vi.waitFor(() => expect(t.sends()).toHaveLength(2))
    const attachments = [{ type: 'file', mimeType: 'text/plain', fileName: 'a.txt', origin: 'paste', sizeBytes: 2, content: btoa('hi') }]
    expect(t.sends()).toMatchObject([{ message: '', attachments }, { message: '', attachments }])
  })
})
