import { describe, expect, it, vi } from 'vitest'
import { readHello } from '../src/protocol/hello'
import type { JsonObject } from '../src/protocol/json'
import { Devices, readDevice, readRequest, sayScopes } from '../src/state/devices'
import type { Gateway } from '../src/state/gateway'

const pending = (id: string): JsonObject => ({
  requestId: id, deviceId: 'd'.repeat(64), role: 'operator', scopes: ['operator.read'], ts: 5, displayName: 'Phone',
})

function room(answers: Record<string, unknown> = {}) {
  const asked: [string, JsonObject][] = []
  const request = vi.fn(async (method: string, params: JsonObject) => {
    asked.push([method, params])
    return (answers[method] ?? {}) as JsonObject
  })
  const devices = new Devices({ request, tryRequest: request } as unknown as Gateway)
  const news: string[] = []
  devices.onNews = (text) => news.push(text)
  return { devices, asked, news, answers }
}

describe('devices', () => {
  it('reads what a gateway says, and drops junk', () => {
    expect(readRequest(pending('a'))).toMatchObject({ name: 'Phone', role: 'operator', isRepair: false })
    expect(readRequest({ deviceId: 'x' })).toBeUndefined()
    const row = readDevice({
      deviceId: 'd'.repeat(64), label: 'Desk', clientId: 'cli', platform: 'linux', connected: true,
      tokens: [{ role: 'operator', scopes: ['operator.read'] }, { role: 'node', scopes: [], revokedAtMs: 1 }],
    })
    expect(row).toMatchObject({ name: 'Desk', about: 'cli · linux', connected: true })
    expect(row?.roles).toEqual([{ role: 'operator', scopes: ['operator.read'] }])
    expect(readDevice({ deviceId: 'abcdefghijklmnop' })?.name).toBe('abcdefghijkl')
    expect(readDevice(null)).toBeUndefined()
  })

  it('says what a role may do', () => {
    expect(sayScopes('operator', ['operator.read', 'operator.admin'])).toBe('administrator')
    expect(sayScopes('operator', ['operator.read', 'operator.pairing'])).toBe('read, pairing')
    expect(sayScopes('node', [])).toBe('node')
  })

  it('knows nothing where the gateway does not offer it', async () => {
    const { devices, asked } = room()
    await devices.connected(readHello({ features: { methods: [] } }, 0))
    expect(asked).toEqual([])
    expect(devices.pending.value).toBeUndefined()
  })

  it('reads again what changed, and says who asks and who came', async () => {
    const { devices, answers, news } = room({ 'device.pair.list': { pending: [pending('a')], paired: [] } })
    await devices.connected(readHello({ features: { methods: ['device.pair.list'] }, auth: { scopes: ['operator.pairing'] } }, 0))
    expect(devices.pending.value?.map((one) => one.requestId)).toEqual(['a'])
    answers['device.pair.list'] = { pending: [], paired: [{ deviceId: 'x' }] }
    devices.heard('device.pair.requested', pending('b'))
    devices.heard('device.pair.setup.completed', { setupId: 's', deviceId: 'x', deviceName: 'Attic' })
    devices.heard('device.pair.setup.completed', { setupId: 's', deviceId: 'x', deviceName: 'Attic' })
    await vi.waitFor(() => expect(devices.pending.value).toEqual([]))
    expect(devices.paired.value.map((one) => one.id)).toEqual(['x'])
    expect(devices.arrived.value.get('s')).toBe('Attic')
    expect(news).toEqual(['Phone asks to be let in', 'Attic is paired'])
  })

  it('asks for a code, and how it ended', async () => {
    const { devices, asked } = room({
      'device.pair.setupCode': { setupId: 's', setupCode: 'code', gatewayUrl: 'ws://x', access: 'limited', accessDowngraded: true, expiresAtMs: 9 },
      'device.pair.setupStatus': { deliveryUncertain: { setupId: 's', deviceId: 'abcdefghijklmnop' } },
    })
    expect(await devices.makeCode('full', '')).toMatchObject({ code: 'code', isDowngraded: true, picture: '' })
    await devices.makeCode('node', 'ws://x')
    expect(asked.map(([, params]) => params)).toEqual([{}, { bootstrapProfile: 'node', publicUrl: 'ws://x' }])
    await devices.look('s')
    expect(devices.arrived.value.get('s')).toBe('abcdefghijkl')
  })
})
