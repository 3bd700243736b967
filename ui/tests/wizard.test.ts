import { describe, expect, it } from 'vitest'
import { ConnectionLostError, GatewayError } from '../src/protocol/errors'
import type { JsonObject } from '../src/protocol/json'
import type { Gateway } from '../src/state/gateway'
import { readStep, Wizard } from '../src/state/wizard'

const step = (id: string, more: JsonObject = {}): JsonObject => ({ id, type: 'text', title: id, ...more })

function setUp(...answers: (JsonObject | Error)[]) {
  const calls: [string, JsonObject][] = []
  const request = async (method: string, params: JsonObject): Promise<JsonObject> => {
    calls.push([method, params])
    const answer = answers.shift() ?? {}
    if (answer instanceof Error) throw answer
    return answer
  }
  const gateway = { request, tryRequest: request } as unknown as Gateway
  return { wizard: new Wizard(gateway), calls }
}

describe('Wizard', () => {
  it('asks one thing after another, and goes back', async () => {
    const t = setUp(
      { sessionId: 'w', done: false, step: step('a', { initialValue: 'x' }) },
      { done: false, step: step('b') },
      { done: false, step: step('a', { initialValue: 'x' }) },
    )
    await t.wizard.start('model')
    const first = readStep(step('a', { initialValue: 'x' }))
    expect(t.wizard.state.value).toMatchObject({ kind: 'asks', step: { id: 'a' }, canGoBack: false })
    expect(t.wizard.earlier(first)).toBe('x')
    await t.wizard.answer(first, 'mine')
    expect(t.wizard.state.value).toMatchObject({ step: { id: 'b' }, canGoBack: true })
    await t.wizard.back()
    expect(t.wizard.state.value).toMatchObject({ step: { id: 'a' }, canGoBack: false })
    expect(t.wizard.earlier(first)).toBe('mine')
    expect(t.calls.map(([, params]) => params)).toEqual([
      { flow: 'model' }, { sessionId: 'w', answer: { stepId: 'a', value: 'mine' } }, { sessionId: 'w', back: true },
    ])
  })

  it('leaves a refused answer where it was, and keeps no secret', async () => {
    const key = step('key', { sensitive: true })
    const t = setUp({ sessionId: 'w', done: false, step: key }, { done: false, step: key, error: 'A key is needed.' })
    await t.wizard.start('model')
    await t.wizard.answer(readStep(key), 'sk-secret')
    expect(t.wizard.state.value).toMatchObject({ kind: 'asks', error: 'A key is needed.', canGoBack: false })
    expect(t.wizard.earlier(readStep(key))).toBeUndefined()
  })

  it('says how it ended', async () => {
    const ends: [JsonObject, string][] = [
      [{ done: true, status: 'done', channels: ['telegram'] }, 'done'],
      [{ done: true, status: 'cancelled' }, 'cancelled'],
      [{ done: true, status: 'error', error: 'the disk is full' }, 'failed'],
    ]
    for (const [end, kind] of ends) {
      const t = setUp({ sessionId: 'w', done: false, step: step('a') }, end)
      await t.wizard.start('setup')
      await t.wizard.answer(readStep(step('a')), true)
      expect(t.wizard.state.value.kind).toBe(kind)
    }
  })

  it('stays at its question when the connection is lost, and begins anew when it was forgotten', async () => {
    const gone = new GatewayError('INVALID_REQUEST', 'wizard not found', { code: 'WIZARD_NOT_FOUND' })
    const t = setUp({ sessionId: 'w', done: false, step: step('a') }, new ConnectionLostError(), gone)
    await t.wizard.start('model')
    await t.wizard.answer(readStep(step('a')), 'x')
    expect(t.wizard.state.value).toMatchObject({ kind: 'asks', error: expect.stringContaining('connection was lost') })
    await t.wizard.answer(readStep(step('a')), 'x')
    expect(t.wizard.state.value).toMatchObject({ kind: 'failed', error: expect.stringContaining('forgotten') })
  })

  it('is forgotten by the gateway when nobody goes on', async () => {
    const t = setUp({ sessionId: 'w', done: false, step: step('a') })
    await t.wizard.start('model')
    t.wizard.leave()
    expect(t.calls.at(-1)).toEqual(['wizard.cancel', { sessionId: 'w' }])
  })

  it('leads only to web addresses', () => {
    expect(readStep({ id: 'a', type: 'action', externalUrl: 'javascript:alert(1)' }).externalUrl).toBe('')
    expect(readStep({ id: 'a', type: 'action', externalUrl: 'https://example.org/' }).externalUrl).toBe('https://example.org/')
  })
})
