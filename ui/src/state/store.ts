// The page's state in one place: the connection and the rooms it feeds.
// Built once in main.tsx and handed to the views through a context.

import { computed, signal } from '@preact/signals'
import { GatewayClient, type ConnectionState, type Secret, type SocketLike } from '../protocol/client'
import { loadDeviceIdentity } from '../protocol/device'
import { isMissingCredential, needsPassword } from '../protocol/errors'
import { readLimits } from '../protocol/hello'
import { randomId } from '../protocol/ids'
import { asString, type JsonObject } from '../protocol/json'
import { Approvals, linkedApproval } from './approvals'
import { Attachments } from './attachments'
import { Chats } from './chats'
import { forgetSecret, loadSecret, saveSecret, takeFromAddress, type Places } from './credentials'
import { Devices } from './devices'
import { Gateway } from './gateway'
import { Health } from './health'
import { Jobs } from './jobs'
import { Media } from './media'
import { Nodes } from './nodes'
import { Notifications, type BrowserSide } from './notifications'
import { Sessions, titleFromKey, type SessionRow } from './sessions'
import type { Flow } from './wizard'

const LAST_SESSION = 'portico.session'
/** How long logging out waits for the gateway to forget this browser's subscription. */
const LEAVE_MS = 1500

export class Store {
  readonly connection = signal<ConnectionState>({ phase: 'idle' })
  /** True once the gateway let us in; stays true while reconnecting. */
  readonly admitted = signal(false)
  /** True when there was no secret to try, so a refusal is a question, not an error. */
  readonly asked = signal(false)
  /** True until the first attempt has an outcome: no login card flashes by before it. */
  readonly untried = signal(true)
  readonly announcement = signal('')
  readonly hello = computed(() => (this.connection.value.phase === 'connected' ? this.connection.value.hello : undefined))
  readonly version = signal('')
  readonly drawerOpen = signal(false)
  /** What is being set up. */
  readonly setUp = signal<Flow | undefined>(undefined)
  /** Counts the changes of the gateway's configuration: what was made from it is read again. */
  readonly configVersion = signal(0)
  readonly gateway: Gateway
  readonly health: Health
  readonly sessions: Sessions
  readonly chats: Chats
  readonly attachments: Attachments
  readonly media: Media
  readonly approvals: Approvals
  readonly devices: Devices
  readonly nodes: Nodes
  readonly jobs: Jobs
  readonly notifications: Notifications
  /** The id this browser is paired under. */
  readonly deviceId: string
  private readonly client: GatewayClient
  private mainKey = 'agent:main:main'
  private agentId = 'main'
  private limits = readLimits({})
  /** The conversation a link led to. */
  private linkedSession: string | undefined
  private secret: Secret | undefined
  private candidate: { secret: Secret; remember: boolean } | undefined

  constructor(
    readonly places: Places,
    url: string,
    openSocket: (url: string) => SocketLike,
    browser: (follow: (sessionKey: string | undefined) => void) => BrowserSide,
  ) {
    const device = loadDeviceIdentity(places.device)
    this.deviceId = device.id
    this.client = new GatewayClient({
      url,
      device,
      openSocket,
      now: Date.now,
      random: Math.random,
      onState: (state) => this.stateChanged(state),
      onEvent: (name, payload) => this.eventCame(name, payload),
      onGap: () => this.caughtUp(),
    })
    const gateway = this.gateway = new Gateway(() => this.client)
    this.health = new Health(gateway)
    this.sessions = new Sessions(gateway)
    this.media = new Media(() => this.secret, location.origin)
    this.chats = new Chats(gateway, Date.now, (file) => this.media.load(file))
    this.attachments = new Attachments(() => this.limits)
    this.attachments.onNews = (text) => this.announce(text)
    const link = linkedApproval(location.href, document.baseURI)
    if (link !== undefined) history.replaceState(null, '', link.rest)
    this.approvals = new Approvals(gateway, link?.id)
    this.approvals.onNews = (text) => this.announce(text)
    this.devices = new Devices(gateway)
    this.devices.onNews = (text) => this.announce(text)
    this.nodes = new Nodes(gateway)
    this.nodes.onNews = (text) => this.announce(text)
    this.jobs = new Jobs(gateway)
    const follow = (key: string | undefined): void => { if (key !== undefined) this.openSession(key) }
    this.notifications = new Notifications(gateway, places.device, browser(follow))
    this.notifications.titleOf = (key) => this.rowOf(key)?.title ?? titleFromKey(key)
    this.notifications.isElsewhere = (key) => (this.rowOf(key)?.channel ?? '') !== ''
    this.chats.onReplyEnd = (key, text, failed) => this.replyEnded(key, text, failed)
  }

  start(): void {
    this.linkedSession = takeFromAddress('session', location, history)
    const linked = takeFromAddress('token', location, history)
    if (linked !== undefined) this.logIn(linked, false)
    else this.tryStored()
    addEventListener('online', () => this.client.retryNow())
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible' && this.connection.value.phase === 'waiting') this.client.retryNow()
    })
    addEventListener('hashchange', () => {
      const token = takeFromAddress('token', location, history)
      if (token !== undefined) this.logIn(token, false)
      const session = takeFromAddress('session', location, history)
      if (session !== undefined && this.admitted.value) this.openSession(session)
    })
  }

  logIn(value: string, remember: boolean, kind: Secret['kind'] = 'token'): void {
    const secret: Secret = { kind, value }
    this.candidate = { secret, remember }
    this.secret = secret
    this.asked.value = false
    this.client.start(secret)
  }

  async logOut(): Promise<void> {
    forgetSecret(this.places)
    // Who has left is told nothing more.
    const told = this.notifications.turnOff().catch(() => undefined)
    await Promise.race([told, new Promise((resolve) => setTimeout(resolve, LEAVE_MS))])
    this.client.stop()
    // Nothing of the conversations may stay on the screen or in memory.
    location.reload()
  }

  retryNow(): void {
    this.client.retryNow()
  }

  announce(text: string): void {
    this.announcement.value = text
  }

  openSession(key: string): void {
    this.chats.open(key)
    this.drawerOpen.value = false
    this.places.session.setItem(LAST_SESSION, key)
  }

  newSession(agentId: string = this.agentId): void {
    this.openSession(`agent:${agentId}:web-${randomId().slice(0, 8)}`)
    this.announce('New chat')
  }

  /** Whose conversation it is, where that is not plain: of every agent but the default one. */
  agentName(id: string): string {
    if (id === this.agentId) return ''
    return this.sessions.agents.value.find((agent) => agent.id === id)?.name ?? id
  }

  async resetSession(key: string): Promise<void> {
    await this.sessions.reset(key)
    this.chats.cleared(key)
    this.announce('Conversation reset')
  }

  async deleteSession(key: string): Promise<void> {
    await this.sessions.remove(key)
    this.chats.forget(key)
    if (this.chats.currentKey.value === key) this.openSession(this.mainKey)
    this.announce('Conversation deleted')
  }

  private rowOf(key: string): SessionRow | undefined {
    return this.sessions.rows.value.find((row) => row.key === key)
  }

  private tryStored(): void {
    const secret = loadSecret(this.places)
    this.secret = secret
    this.asked.value = secret === undefined
    this.client.start(secret)
  }

  private stateChanged(state: ConnectionState): void {
    this.connection.value = state
    if (state.phase === 'waiting' || state.phase === 'refused') this.untried.value = false
    if (state.phase === 'connected') this.admit(state.hello)
    if (state.phase === 'waiting' && state.attempt === 1 && this.admitted.value) this.announce('Connection lost. Reconnecting.')
    if (state.phase !== 'refused') return
    const tried = this.candidate?.secret
    if (needsPassword(state.error) && tried?.kind === 'token') {
      // A gateway in password mode: the same secret, under its proper name.
      this.logIn(tried.value, this.candidate?.remember ?? false, 'password')
      return
    }
    if (!isMissingCredential(state.error) && /^AUTH_.*MISMATCH$/.test(state.error.detailCode)) forgetSecret(this.places)
    this.admitted.value = false
  }

  private admit(hello: NonNullable<typeof this.hello.value>): void {
    const again = this.admitted.value
    if (this.candidate !== undefined) {
      saveSecret(this.places, this.candidate.secret, this.candidate.remember)
      this.candidate = undefined
    }
    this.mainKey = hello.mainSessionKey
    this.agentId = hello.defaultAgentId
    this.limits = hello.limits
    this.version.value = hello.serverVersion
    this.health.connected(hello, Date.now())
    this.admitted.value = true
    if (this.chats.currentKey.value === '') this.chats.open(this.linkedSession ?? this.places.session.getItem(LAST_SESSION) ?? this.mainKey)
    else this.chats.resync()
    void this.sessions.connected()
    void this.approvals.connected(hello)
    void this.devices.connected(hello)
    void this.nodes.connected(hello)
    this.jobs.connected(hello)
    void this.notifications.connected()
    if (again) this.announce('Connected again')
  }

  private eventCame(name: string, payload: JsonObject): void {
    this.notifications.heard(name, payload)
    if (name === 'chat') this.chats.chatEvent(payload)
    else if (name === 'session.tool' || (name === 'agent' && payload['stream'] === 'tool')) this.chats.toolEvent(payload)
    else if (name === 'sessions.changed') this.sessionChanged(payload)
    else if (name === 'exec.approval.requested') this.approvals.requested(payload)
    else if (name === 'exec.approval.resolved') this.approvals.resolved(payload)
    else if (name.startsWith('device.pair.')) this.devices.heard(name, payload)
    else if (name.startsWith('node.p') || name === 'presence') this.nodes.heard(name, payload)
    else if (name === 'cron') this.jobs.heard(payload)
    else if (name === 'health') this.health.changed(payload)
    else if (name === 'config.changed') this.configChanged()
  }

  private configChanged(): void {
    this.configVersion.value += 1
    void this.sessions.loadAgents()
  }

  /** Events were lost on the way: read again what they would have said. */
  private caughtUp(): void {
    this.chats.resync()
    const hello = this.hello.value
    if (hello === undefined) return
    void this.approvals.connected(hello)
    void this.devices.connected(hello)
    void this.nodes.connected(hello)
    this.jobs.connected(hello)
  }

  private sessionChanged(payload: JsonObject): void {
    this.sessions.changed(payload)
    const key = asString(payload['sessionKey'])
    if (key === undefined) return
    const reason = asString(payload['reason'])
    if (reason === 'reset' || reason === 'new') this.chats.cleared(key)
    if (reason === 'delete' && key === this.chats.currentKey.value) this.openSession(this.mainKey)
  }

  private replyEnded(key: string, text: string, failed: boolean): void {
    this.sessions.refreshSoon()
    if (key !== this.chats.currentKey.value) return
    this.announce(failed ? `The answer failed. ${text}` : `Reply: ${text.slice(0, 600)}`)
  }
}
