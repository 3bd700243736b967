import { describe, expect, it } from 'vitest'
import { ConnectionLostError, GatewayError } from '../src/protocol/errors'
import type { JsonObject } from '../src/protocol/json'
import { Config, matches, patchOf, readSections, shown } from '../src/state/config'
import type { Gateway } from '../src/state/gateway'

const schema = {
  properties: {
    $schema: { type: 'string' },
    gateway: {
      properties: {
        port: { type: 'integer' },
        auth: { properties: { token: { anyOf: [{ type: 'string' }, { type: 'object' }] } } },
        origins: { type: 'array', items: { type: 'string' } },
      },
    },
    logging: { properties: { level: { type: 'string', enum: ['debug', 'info'] } } },
    bindings: { type: 'array', items: { properties: { agentId: { type: 'string' } } } },
  },
}
const uiHints = {
  gateway: { label: 'Gateway' }, 'gateway.port': { label: 'Port', help: 'TCP port.' }, 'gateway.auth': { label: 'Auth' },
  'gateway.auth.token': { label: 'Token', sensitive: true },
}

type Answer = JsonObject | Error

function setUp(answers: Record<string, Answer[]> = {}) {
  const calls: [string, JsonObject][] = []
  const standing: Record<string, JsonObject> = {
    'config.schema': { schema, uiHints },
    'config.get': { hash: 'h1', sourceConfig: { gateway: { port: 1 } }, runtimeConfig: { gateway: { port: 1 }, logging: { level: 'info' } } },
    'config.plan': { valid: true, action: 'hot', changes: [{ path: 'logging.level', effect: 'hot' }] },
  }
  const request = async (method: string, params: JsonObject): Promise<JsonObject> => {
    calls.push([method, params])
    const answer = answers[method]?.shift() ?? standing[method] ?? {}
    if (answer instanceof Error) throw answer
    return answer
  }
  return { config: new Config({ request, tryRequest: request } as unknown as Gateway), calls }
}

describe('fields', () => {
  it('come from the schema, with their groups and kinds', () => {
    const sections = readSections(schema, uiHints)
    expect(sections.map((one) => one.name)).toEqual(['gateway', 'logging', 'bindings'])
    expect(sections.flatMap((one) => one.fields).map((one) => [one.path, one.kind, one.group])).toEqual([
      ['gateway.port', 'number', ''], ['gateway.auth.token', 'secret', 'Auth'], ['gateway.origins', 'list', ''],
      ['logging.level', 'choice', ''], ['bindings', 'json', ''],
    ])
  })

  it('are found by their words', () => {
    const [port] = readSections(schema, uiHints)[0]?.fields ?? []
    expect(port === undefined ? [] : ['tcp gateway', 'udp'].map((wanted) => matches(port, wanted))).toEqual([true, false])
  })

  it('are written as people do', () => {
    expect([true, 5, ['a', 'b'], { a: 1 }, undefined].map(shown)).toEqual(['on', '5', 'a, b', '{"a":1}', ''])
  })
})

describe('Config', () => {
  it('sends what was changed, once its plan was seen', async () => {
    const t = setUp()
    await t.config.connected()
    t.config.edit('logging.level', 'debug')
    t.config.edit('gateway.origins', ['https://a'])
    t.config.edit('gateway.port', 2)
    t.config.edit('gateway.port', 1) // as it was
    await t.config.review()
    expect(t.config.plan.value).toEqual({ action: 'hot', changes: [{ path: 'logging.level', effect: 'hot' }] })
    expect(await t.config.save()).toBe(true)
    const sent = t.calls.find(([method]) => method === 'config.patch')?.[1]
    expect(sent).toEqual({
      raw: JSON.stringify({ logging: { level: 'debug' }, gateway: { origins: ['https://a'] } }), baseHash: 'h1', replacePaths: ['gateway.origins'],
    })
    expect(t.config.changed.value).toBe(0)
  })

  it('takes out of the file what is reset', () => {
    expect(patchOf(new Map<string, unknown>([['a.b', null], ['a.c', 1]]))).toEqual({ a: { b: null, c: 1 } })
  })

  it('puts what is wrong at its field, and the rest above', async () => {
    const issues = [{ path: 'gateway.port', message: 'too large' }, { path: 'bindings[0].agentId', message: 'no such agent' }, { path: '', message: 'odd' }]
    const t = setUp({ 'config.plan': [{ valid: false, issues }] })
    await t.config.connected()
    t.config.edit('gateway.port', 99999)
    await t.config.review()
    expect([...t.config.issues.value]).toEqual([['gateway.port', 'too large'], ['bindings', 'no such agent']])
    expect(t.config.problem.value).toBe('odd')
    t.config.edit('gateway.port', 2)
    expect(t.config.issues.value.size).toBe(0)
  })

  it('never writes over somebody else, and keeps the changes', async () => {
    const conflict = new GatewayError('INVALID_REQUEST', 'config changed since last load; re-run config.get and retry')
    const t = setUp({ 'config.patch': [conflict], 'config.get': [{ hash: 'h1' }, { hash: 'h2' }] })
    await t.config.connected()
    t.config.edit('logging.level', 'debug')
    expect(await t.config.save()).toBe(false)
    expect(t.config.problem.value).toContain('Somebody else')
    expect(t.config.edits.value.get('logging.level')).toBe('debug')
    await t.config.save()
    expect(t.calls.findLast(([method]) => method === 'config.patch')?.[1]['baseHash']).toBe('h2')
  })

  it('knows after a restart whether it was written', async () => {
    for (const [hash, left] of [['h2', 0], ['h1', 1]] as const) {
      const t = setUp({ 'config.patch': [new ConnectionLostError()], 'config.get': [{ hash: 'h1' }, { hash }] })
      await t.config.connected()
      t.config.edit('logging.level', 'debug')
      await t.config.save()
      expect(t.config.problem.value).toContain('waits for it')
      await t.config.connected()
      expect([t.config.changed.value, t.config.problem.value]).toEqual([left, ''])
    }
  })
})
