import { beforeEach, describe, expect, it, vi } from 'vitest'
import { GatewayError } from '../src/protocol/errors'
import type { JsonObject } from '../src/protocol/json'
import type { Gateway } from '../src/state/gateway'
import { Notifications, type BrowserSide } from '../src/state/notifications'

const KEY = 'BAECAwQ'
const ADDRESS = 'https://push.example.org/1'

function setUp(options: { permission?: NotificationPermission; isSecure?: boolean; refuse?: string; hasPush?: boolean } = {}) {
  const calls: [string, JsonObject][] = []
  let permission = options.permission ?? 'default'
  const request = async (method: string, params: JsonObject): Promise<JsonObject> => {
    calls.push([method, params])
    if (method === options.refuse) throw new GatewayError('UNAVAILABLE', 'push needs a package that is not installed')
    return method === 'push.web.vapidPublicKey' ? { vapidPublicKey: KEY } : { results: [{ ok: true }, { ok: false }] }
  }
  const subscription = {
    toJSON: () => ({ endpoint: ADDRESS, keys: { p256dh: 'p', auth: 'a' } }),
    unsubscribe: vi.fn(async () => true),
  }
  const pushManager = { getSubscription: vi.fn(async () => null as unknown), subscribe: vi.fn(async () => subscription) }
  const registration = { ...(options.hasPush === false ? {} : { pushManager }), unregister: vi.fn(async () => true) }
  const shown: [string, NotificationOptions][] = []
  const browser: BrowserSide = {
    isSecure: options.isSecure ?? true,
    permission: () => permission,
    ask: async () => (permission = permission === 'default' ? 'granted' : permission),
    register: async () => registration as unknown as ServiceWorkerRegistration,
    registered: async () => registration as unknown as ServiceWorkerRegistration,
    show: async (title, about) => { shown.push([title, about]) },
    isHidden: () => true,
  }
  const gateway = { request, tryRequest: request } as unknown as Gateway
  const make = (): Notifications => new Notifications(gateway, localStorage, browser)
  return { notifications: make(), make, calls, shown, pushManager, subscription, registration }
}

const answer = { sessionKey: 's', state: 'final', message: { content: [{ type: 'text', text: 'It is done.' }] } }

beforeEach(() => localStorage.clear())

describe('Notifications', () => {
  it('subscribes this browser, and takes it back', async () => {
    const t = setUp()
    await t.notifications.connected()
    expect(t.calls).toEqual([])
    await t.notifications.turnOn()
    expect(t.notifications.state.value).toEqual({ kind: 'on', way: 'push' })
    expect(t.calls.map(([method]) => method)).toEqual(['push.web.vapidPublicKey', 'push.web.subscribe', 'push.web.preferences.set'])
    expect(t.calls[1]?.[1]).toEqual({ endpoint: ADDRESS, keys: { p256dh: 'p', auth: 'a' } })
    t.pushManager.getSubscription.mockResolvedValue(t.subscription)
    await t.notifications.turnOff()
    expect(t.notifications.state.value).toEqual({ kind: 'off' })
    expect(t.calls.at(-1)).toEqual(['push.web.unsubscribe', { endpoint: ADDRESS }])
    expect(t.subscription.unsubscribe).toHaveBeenCalled()
    await t.make().connected()
    expect(t.calls).toHaveLength(4)
  })

  it('is on again after a reload, with what was chosen', async () => {
    const t = setUp({ permission: 'granted' })
    await t.notifications.turnOn()
    await t.notifications.wish({ ...t.notifications.wishes.value, detail: 'detailed' })
    const again = t.make()
    expect(again.wishes.value.detail).toBe('detailed')
    await again.connected()
    expect(again.state.value).toEqual({ kind: 'on', way: 'push' })
  })

  it('gives a subscription for another gateway back', async () => {
    const t = setUp()
    const foreign = { options: { applicationServerKey: new Uint8Array([9]).buffer }, unsubscribe: vi.fn(async () => true) }
    t.pushManager.getSubscription.mockResolvedValue(foreign)
    await t.notifications.turnOn()
    expect(foreign.unsubscribe).toHaveBeenCalled()
    expect(t.pushManager.subscribe).toHaveBeenCalled()
  })

  it('does what the page can without push, and says why', async () => {
    for (const options of [{ refuse: 'push.web.vapidPublicKey' }, { hasPush: false }]) {
      localStorage.clear()
      const t = setUp(options)
      await t.notifications.turnOn()
      expect(t.notifications.state.value).toMatchObject({ kind: 'on', way: 'tab', reason: expect.stringMatching(/package|no push/) })
      await t.notifications.test()
      t.notifications.heard('exec.approval.requested', { id: '1', request: { command: 'ls', agentId: 'main', sessionKey: 's' } })
      expect(t.shown.map(([title]) => title)).toEqual(['Portico', 'An approval is needed: main'])
    }
  })

  it('says what is in the way', async () => {
    expect(setUp({ isSecure: false }).notifications.state.value.kind).toBe('insecure')
    const t = setUp({ permission: 'denied' })
    expect(t.notifications.state.value.kind).toBe('blocked')
    await t.notifications.turnOn()
    expect(t.notifications.state.value.kind).toBe('blocked')
    expect(t.calls).toEqual([])
  })

  it('tells of answers as much as is wanted, and not of those that went elsewhere', async () => {
    const t = setUp()
    await t.notifications.turnOn()
    t.notifications.titleOf = () => 'Bread'
    t.notifications.heard('chat', { ...answer, state: 'delta' })
    t.notifications.heard('chat', answer)
    expect(t.shown).toEqual([['An answer: Bread', { body: 'An agent has answered.', tag: 'answer:s', data: { sessionKey: 's' } }]])
    await t.notifications.wish({ ...t.notifications.wishes.value, detail: 'detailed' })
    t.notifications.heard('chat', answer)
    expect(t.shown[1]?.[1].body).toBe('It is done.')
    // By push the gateway itself tells of approvals.
    t.notifications.heard('exec.approval.requested', { id: '1', request: {} })
    t.notifications.isElsewhere = () => true
    t.notifications.heard('chat', answer)
    t.notifications.isElsewhere = () => false
    await t.notifications.wish({ ...t.notifications.wishes.value, topics: { ...t.notifications.wishes.value.topics, agentFinished: false } })
    t.notifications.heard('chat', answer)
    expect(t.shown).toHaveLength(2)
  })

  it('says what became of a test', async () => {
    const t = setUp()
    await t.notifications.turnOn()
    await t.notifications.test()
    expect(t.notifications.outcome.value).toBe('Sent to 1 browser; 1 could not be reached.')
  })
})
