// Telling this browser what happens while nobody looks at the page: by Web Push where the gateway
// and the browser can do that, else by the page itself for as long as it is open.
//
// Guarantees: nobody is asked for permission before turning it on; off means off: the browser's
// subscription is given back and the gateway forgets it.
// Source: docs/push.md; W3C, Push API and Notifications API.

import { signal } from '@preact/signals'
import { fromBase64url } from '../protocol/device'
import { ConnectionLostError } from '../protocol/errors'
import { asArray, asObject, asString, parseObject, type JsonObject } from '../protocol/json'
import { messageText } from './content'
import { sayError, type Gateway } from './gateway'

export const TOPICS = ['agentFinished', 'approvalRequested', 'agentQuestion', 'scheduledTaskFailed'] as const
export type Topic = (typeof TOPICS)[number]
export const DETAILS = ['private', 'identified', 'detailed'] as const
export type Detail = (typeof DETAILS)[number]

export interface Wishes {
  readonly topics: Readonly<Record<Topic, boolean>>
  readonly detail: Detail
}

/** `tab`: only while the page is open; the reason says why there is no push. */
export type NotificationState =
  | { readonly kind: 'insecure' | 'unsupported' | 'blocked' | 'off' | 'working' }
  | { readonly kind: 'on'; readonly way: 'push' | 'tab'; readonly reason?: string }

/** What the browser offers; handed in, so that it can be another in tests. */
export interface BrowserSide {
  readonly isSecure: boolean
  readonly permission: () => NotificationPermission | undefined
  readonly ask: () => Promise<NotificationPermission>
  /** undefined: there are no service workers here. */
  readonly register: () => Promise<ServiceWorkerRegistration | undefined>
  readonly registered: () => Promise<ServiceWorkerRegistration | undefined>
  readonly show: (title: string, options: NotificationOptions) => Promise<void>
  readonly isHidden: () => boolean
}

const STORAGE_KEY = 'portico.notifications.v1'
const MAX_TEXT = 240
const EVERYTHING: Wishes = {
  topics: { agentFinished: true, approvalRequested: true, agentQuestion: true, scheduledTaskFailed: true },
  detail: 'identified',
}

interface Occasion {
  readonly topic: Topic
  readonly title: string
  readonly subject: string
  readonly body: string
  readonly text: string
  readonly tag: string
  readonly sessionKey: string | undefined
}

export class Notifications {
  readonly state = signal<NotificationState>({ kind: 'off' })
  readonly wishes = signal<Wishes>(EVERYTHING)
  readonly problem = signal('')
  /** What became of a test. */
  readonly outcome = signal('')
  /** What a conversation is called. */
  titleOf: (sessionKey: string) => string = () => ''
  /** Whether the answers of a conversation go out through a channel, where they notify. */
  isElsewhere: (sessionKey: string) => boolean = () => false
  private endpoint: string | undefined

  constructor(
    private readonly gateway: Gateway,
    private readonly storage: Storage,
    private readonly browser: BrowserSide,
  ) {
    const kept = parseObject(storage.getItem(STORAGE_KEY) ?? '')
    if (kept !== undefined) this.wishes.value = readWishes(kept)
    this.state.value = this.idle()
  }

  /** The gateway is there: what was on before is on again, and the gateway knows it. */
  async connected(): Promise<void> {
    if (this.storage.getItem(STORAGE_KEY) === null || this.idle().kind !== 'off') return
    if (this.browser.permission() === 'granted') await this.subscribe()
  }

  async turnOn(): Promise<void> {
    this.problem.value = this.outcome.value = ''
    const permission = await this.browser.ask()
    if (permission !== 'granted') {
      this.state.value = this.idle()
      if (permission === 'default') this.problem.value = 'The browser has not allowed it yet. Try again, and allow it.'
      return
    }
    this.keep()
    await this.subscribe()
  }

  async turnOff(): Promise<void> {
    this.problem.value = this.outcome.value = ''
    this.storage.removeItem(STORAGE_KEY)
    const endpoint = this.endpoint
    this.endpoint = undefined
    this.state.value = this.idle()
    const registration = await this.browser.registered()
    const subscription = await registration?.pushManager?.getSubscription()
    if (endpoint !== undefined) await this.gateway.tryRequest('push.web.unsubscribe', { endpoint })
    await subscription?.unsubscribe()
    await registration?.unregister()
  }

  async wish(wishes: Wishes): Promise<void> {
    this.wishes.value = wishes
    this.keep()
    await this.tellWishes()
  }

  /** One to see whether they come. */
  async test(): Promise<void> {
    this.problem.value = this.outcome.value = ''
    const state = this.state.value
    if (state.kind !== 'on') return
    try {
      if (state.way === 'tab') {
        await this.browser.show('Portico', { body: 'Notifications work.', tag: 'test' })
        this.outcome.value = 'Shown by this page.'
        return
      }
      const answer = await this.gateway.request('push.web.test', {})
      this.outcome.value = sayResults(asArray(answer['results']).map(asObject))
    } catch (error) {
      this.problem.value = sayError(error)
    }
  }

  /** An event of the gateway; the page tells of it when nobody looks at it. */
  heard(name: string, payload: JsonObject): void {
    const state = this.state.value
    if (state.kind !== 'on' || !this.browser.isHidden()) return
    // By push the gateway tells itself, but for answers that come while this page listens.
    if (state.way === 'push' && name !== 'chat') return
    const occasion = this.occasionOf(name, payload)
    if (occasion === undefined || !this.wishes.value.topics[occasion.topic]) return
    const { detail } = this.wishes.value
    const { sessionKey, tag } = occasion
    const title = detail === 'private' || occasion.subject === '' ? occasion.title : `${occasion.title}: ${occasion.subject}`
    const body = detail === 'detailed' && occasion.text !== '' ? occasion.text : occasion.body
    this.browser.show(title.slice(0, MAX_TEXT), { body: body.slice(0, MAX_TEXT), tag, data: { sessionKey } })
      .catch(() => undefined) // the browser has changed its mind; the switch says so when it is looked at
  }

  private occasionOf(name: string, payload: JsonObject): Occasion | undefined {
    const sessionKey = asString(payload['sessionKey']) ?? asString(asObject(payload['request'])['sessionKey'])
    const id = asString(payload['id']) ?? ''
    if (name === 'chat') {
      const text = messageText(payload['message'])
      if (payload['state'] !== 'final' || text === '' || sessionKey === undefined || this.isElsewhere(sessionKey)) return undefined
      const subject = this.titleOf(sessionKey)
      return { topic: 'agentFinished', title: 'An answer', subject, body: 'An agent has answered.', text, tag: `answer:${sessionKey}`, sessionKey }
    }
    if (name === 'exec.approval.requested') {
      const request = asObject(payload['request'])
      return {
        topic: 'approvalRequested', title: 'An approval is needed', subject: asString(request['agentId']) ?? '',
        body: 'An agent asks whether it may do something.', text: asString(request['command']) ?? '', tag: `approval:${id}`, sessionKey,
      }
    }
    if (name === 'question.requested') {
      const [first] = asArray(payload['questions']).map(asObject)
      return {
        topic: 'agentQuestion', title: 'A question', subject: asString(payload['agentId']) ?? '', body: 'An agent asks something.',
        text: asString(first?.['question']) ?? '', tag: `question:${id}`, sessionKey,
      }
    }
    if (name !== 'cron' || payload['action'] !== 'finished' || payload['status'] !== 'error') return undefined
    const job = asString(asObject(payload['job'])['name']) ?? ''
    return {
      topic: 'scheduledTaskFailed', title: 'A job has failed', subject: job, body: 'A scheduled job did not work.',
      text: asString(payload['error']) ?? '', tag: `job:${asString(payload['jobId']) ?? ''}`, sessionKey: undefined,
    }
  }

  /** What is, as long as it is not on. */
  private idle(): NotificationState {
    if (!this.browser.isSecure) return { kind: 'insecure' }
    const permission = this.browser.permission()
    if (permission === undefined) return { kind: 'unsupported' }
    return { kind: permission === 'denied' ? 'blocked' : 'off' }
  }

  private async subscribe(): Promise<void> {
    this.state.value = { kind: 'working' }
    try {
      await this.push()
      this.state.value = { kind: 'on', way: 'push' }
      await this.tellWishes()
    } catch (error) {
      this.state.value = { kind: 'on', way: 'tab', reason: reasonOf(error) }
    }
  }

  private async push(): Promise<void> {
    const registration = await this.browser.register()
    if (registration?.pushManager === undefined) throw new Error('This browser has no push.')
    const { vapidPublicKey } = await this.gateway.request('push.web.vapidPublicKey', {})
    const key = fromBase64url(asString(vapidPublicKey) ?? '') as Uint8Array<ArrayBuffer>
    const subscription = await subscribed(registration.pushManager, key)
    const { endpoint, keys } = subscription.toJSON()
    if (endpoint === undefined) throw new Error('The browser gave no address for push.')
    await this.gateway.request('push.web.subscribe', { endpoint, keys: { p256dh: keys?.['p256dh'] ?? '', auth: keys?.['auth'] ?? '' } })
    this.endpoint = endpoint
  }

  private async tellWishes(): Promise<void> {
    if (this.endpoint === undefined) return
    const { topics, detail } = this.wishes.value
    try {
      const preferences = { enabled: true, categories: topics, detailLevel: detail }
      await this.gateway.request('push.web.preferences.set', { endpoint: this.endpoint, scope: 'device', preferences })
    } catch (error) {
      this.problem.value = sayError(error)
    }
  }

  private keep(): void {
    const { topics, detail } = this.wishes.value
    this.storage.setItem(STORAGE_KEY, JSON.stringify({ topics, detail }))
  }
}

/** The subscription for this gateway; one for another key, such as a former gateway's, is given back. */
async function subscribed(push: PushManager, key: Uint8Array<ArrayBuffer>): Promise<PushSubscription> {
  const options = { userVisibleOnly: true, applicationServerKey: key }
  const known = await push.getSubscription()
  if (known !== null) {
    const theirs = new Uint8Array(known.options?.applicationServerKey ?? new ArrayBuffer(0))
    if (theirs.length === key.length && theirs.every((byte, index) => byte === key[index])) return known
    await known.unsubscribe()
  }
  try {
    return await push.subscribe(options)
  } catch (error) {
    throw new Error(`The browser's push service did not take part (${sayError(error)}).`)
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof ConnectionLostError) return 'The gateway was not reached; it is tried again with the next connection.'
  return sayError(error)
}

function readWishes(kept: JsonObject): Wishes {
  const topics = asObject(kept['topics'])
  return {
    topics: Object.fromEntries(TOPICS.map((topic) => [topic, topics[topic] !== false])) as Record<Topic, boolean>,
    detail: DETAILS.find((detail) => detail === kept['detail']) ?? EVERYTHING.detail,
  }
}

function sayResults(results: readonly JsonObject[]): string {
  const sent = results.filter((one) => one['ok'] === true).length
  const failed = results.length - sent
  const browsers = sent === 1 ? '1 browser' : `${sent} browsers`
  return failed === 0 ? `Sent to ${browsers}.` : `Sent to ${browsers}; ${failed} could not be reached.`
}
