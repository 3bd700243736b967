import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../src/protocol/json'
import type { Gateway } from '../src/state/gateway'
import { loadSkills, readSkill, switchSkill } from '../src/state/skills'

const HAT = { skillKey: 'hat', name: 'hat', description: 'A hat.', emoji: '🎩', eligible: true, missing: {}, install: [] }

describe('skills', () => {
  it('says how each stands', () => {
    expect(readSkill(HAT)).toMatchObject({ key: 'hat', emoji: '🎩', standing: 'ready', missing: '', commands: [] })
    expect(readSkill({ ...HAT, disabled: true, eligible: false }).standing).toBe('off')
    expect(readSkill({ ...HAT, blockedByAgentFilter: true }).standing).toBe('barred')
    const lacking = readSkill({
      ...HAT, eligible: false, missing: { bins: ['hat'], env: ['KEY'] }, install: [{ command: 'uv tool install hat' }, {}],
    })
    expect(lacking).toMatchObject({ standing: 'lacking', missing: 'hat, KEY', commands: ['uv tool install hat'] })
  })

  it('asks for one agent, and shows none where the gateway knows none', async () => {
    const asked: [string, JsonObject][] = []
    const gateway = {
      tryRequest: async (method: string, params: JsonObject) => { asked.push([method, params]); return { skills: [HAT] } },
      request: async (method: string, params: JsonObject) => { asked.push([method, params]); return {} },
    } as unknown as Gateway
    expect((await loadSkills(gateway, 'ops')).map((row) => row.name)).toEqual(['hat'])
    await switchSkill(gateway, 'hat', false)
    expect(asked).toEqual([
      ['skills.status', { agentId: 'ops' }],
      ['skills.update', { skillKey: 'hat', enabled: false }],
    ])
    const older = { tryRequest: async () => undefined } as unknown as Gateway
    expect(await loadSkills(older, 'main')).toEqual([])
  })
})
