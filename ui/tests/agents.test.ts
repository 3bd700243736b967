import { describe, expect, it } from 'vitest'
import { GatewayError } from '../src/protocol/errors'
import type { JsonObject } from '../src/protocol/json'
import { Agents, isConflict, readAgent } from '../src/state/agents'
import type { Gateway } from '../src/state/gateway'

const MAIN = { id: 'main', model: { primary: 'portico/echo' }, agentRuntime: { id: 'echo', source: 'implicit' } }

/** A gateway that answers from a table and notes what it was asked. */
function gatewayOf(answers: Record<string, JsonObject>): { gateway: Gateway; asked: [string, JsonObject][] } {
  const asked: [string, JsonObject][] = []
  const request = async (method: string, params: JsonObject): Promise<JsonObject> => {
    asked.push([method, params])
    return answers[method] ?? {}
  }
  return { gateway: { request, tryRequest: request } as unknown as Gateway, asked }
}

describe('agents', () => {
  it('shows what an agent calls itself, and no model where it has none', () => {
    expect(readAgent(MAIN, 'main')).toMatchObject({ id: 'main', name: 'main', model: '', isDefault: true })
    const ops = { id: 'ops', identity: { name: 'Ops', emoji: '🔧' }, model: { primary: 'lab/m' } }
    expect(readAgent(ops, 'main')).toMatchObject({ name: 'Ops', emoji: '🔧', model: 'lab/m', isDefault: false })
  })

  it('leaves out what was not said of a new one, and reads the list again', async () => {
    const { gateway, asked } = gatewayOf({
      'agents.create': { agentId: 'ada' },
      'agents.list': { defaultId: 'main', agents: [MAIN, { id: 'ada', name: 'Ada' }] },
    })
    const agents = new Agents(gateway)
    expect(await agents.create({ name: 'Ada', emoji: '', model: '' })).toBe('ada')
    expect(asked[0]).toEqual(['agents.create', { name: 'Ada' }])
    expect(agents.rows.value?.map((row) => row.id)).toEqual(['main', 'ada'])
  })

  it('guards a document with what was read of it', async () => {
    const { gateway, asked } = gatewayOf({ 'agents.files.set': { file: { content: 'b', hash: 'h2' } } })
    const agents = new Agents(gateway)
    expect(await agents.write('main', 'SOUL.md', 'b', 'h1')).toEqual({ content: 'b', hash: 'h2' })
    await agents.write('main', 'SOUL.md', 'b', undefined)
    expect(asked.map(([, params]) => params['expectedHash'])).toEqual(['h1', undefined])
    expect(isConflict(new GatewayError('INVALID_REQUEST', '', { type: 'agent_file_conflict' }))).toBe(true)
    expect(isConflict(new GatewayError('INVALID_REQUEST', '', {}))).toBe(false)
  })

  it('says what became of the directory', async () => {
    const said = async (answer: JsonObject): Promise<string> =>
      new Agents(gatewayOf({ 'agents.delete': answer }).gateway).remove('x')
    expect(await said({ removed: [{ path: '/w', method: 'trash' }] })).toContain('trash')
    expect(await said({})).toContain('stays where it is')
    expect(await said({ failed: [{ path: '/w', reason: 'another agent uses it, too' }] })).toContain('another agent')
  })

  it('offers models, not what stands in for one', async () => {
    const models = { 'models.list': { models: [{ provider: 'portico', id: 'echo' }, { provider: 'lab', id: 'm' }] } }
    const agents = new Agents(gatewayOf(models).gateway)
    await agents.loadModels()
    expect(agents.models.value).toEqual(['lab/m'])
  })
})
