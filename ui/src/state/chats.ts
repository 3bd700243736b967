// The open conversations: what was sent, what is being answered, what the transcript says.
//
// Guarantees: a message is shown the moment it is sent and is sent again with the same
// idempotency key after a reconnect until the gateway has answered for it, so it arrives
// exactly once; conversations in the background keep streaming.

import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import { ConnectionLostError } from '../protocol/errors'
import { randomId } from '../protocol/ids'
import { asString, type JsonObject } from '../protocol/json'
import { applyChatEvent, applyToolEvent, knowsRun } from './chat-events'
import { applyHistory } from './chat-history'
import { activeReply, emptyChat, replaceEntry, waitingMessages, type ChatState, type UserEntry } from './chat-model'
import { base64Of, type MessageFile } from './files'
import { sayError, type Gateway } from './gateway'

const PAGE = 100
const MOST = 1000
const SETTLE_MS = 1500
const SEND_MS = 30_000
/** The slowest way up that a file is still waited for. */
const BYTES_PER_MS = 32

interface Reading {
  busy: boolean
  again: boolean
  limit: number
  timer?: ReturnType<typeof setTimeout>
}

export class Chats {
  private readonly chats = new Map<string, Signal<ChatState>>()
  private readonly readings = new Map<string, Reading>()
  readonly currentKey = signal('')
  readonly current: ReadonlySignal<ChatState> = computed(() => this.chat(this.currentKey.value).value)
  /** Told when an answer in a conversation ends, with its text. */
  onReplyEnd: (sessionKey: string, text: string, failed: boolean) => void = () => {}

  constructor(
    private readonly gateway: Gateway,
    private readonly now: () => number,
    private readonly load: (file: MessageFile) => Promise<Blob> = unkept,
  ) {}

  chat(sessionKey: string): Signal<ChatState> {
    let chat = this.chats.get(sessionKey)
    if (chat === undefined) {
      chat = signal(emptyChat)
      this.chats.set(sessionKey, chat)
    }
    return chat
  }

  open(sessionKey: string): void {
    this.currentKey.value = sessionKey
    if (this.chat(sessionKey).value.status === 'new') void this.read(sessionKey)
  }

  /** After a (re)connect or lost events: resend what has no answer, read the rest again. */
  resync(): void {
    for (const [key, chat] of this.chats) {
      for (const entry of chat.value.entries)
        if (entry.kind === 'user' && entry.delivery === 'sending') void this.deliver(key, entry)
      if (chat.value.status !== 'new') void this.read(key)
    }
  }

  send(text: string, files: readonly MessageFile[] = []): void {
    const sessionKey = this.currentKey.value
    const key = randomId()
    const entry: UserEntry = {
      kind: 'user', id: `sent:${key}`, key, text, at: this.now(), delivery: 'sending',
      ...(files.length === 0 ? {} : { files }),
    }
    this.update(sessionKey, (chat) => ({ ...chat, entries: [...chat.entries, entry] }))
    void this.deliver(sessionKey, entry)
  }

  /** Ask again. A new key: the gateway would replay its old answer for the old one. */
  retry(entry: UserEntry): void {
    const sessionKey = this.currentKey.value
    this.update(sessionKey, (chat) => ({
      ...chat,
      entries: chat.entries.filter((other) => other.id !== entry.id || entry.delivery !== 'failed'),
    }))
    this.send(entry.text, entry.files)
  }

  async stop(runId?: string): Promise<void> {
    const sessionKey = this.currentKey.value
    const run = runId ?? activeReply(this.chat(sessionKey).value)?.runId
    await this.gateway.tryRequest('chat.abort', { sessionKey, ...(run === undefined ? {} : { runId: run }) })
  }

  showEarlier(): void {
    const reading = this.reading(this.currentKey.value)
    reading.limit = Math.min(MOST, reading.limit * 3)
    void this.read(this.currentKey.value)
  }

  forget(sessionKey: string): void {
    this.chats.delete(sessionKey)
    this.readings.delete(sessionKey)
  }

  /** The conversation started over under the same key. */
  cleared(sessionKey: string): void {
    if (!this.chats.has(sessionKey)) return
    this.update(sessionKey, () => ({ ...emptyChat, status: 'loading' }))
    void this.read(sessionKey)
  }

  chatEvent(payload: JsonObject): void {
    const sessionKey = asString(payload['sessionKey']) ?? ''
    const runId = asString(payload['runId']) ?? ''
    const chat = this.chats.get(sessionKey)
    if (chat === undefined || chat.value.status === 'new') return
    const first = !knowsRun(chat.value, runId)
    chat.value = applyChatEvent(chat.value, payload, this.now())
    const reply = chat.value.entries.find((entry) => entry.kind === 'reply' && entry.runId === runId)
    if (reply?.kind !== 'reply') return
    const ended = reply.state !== 'working'
    if (ended) this.onReplyEnd(sessionKey, reply.text || (reply.error ?? ''), reply.state === 'failed')
    if (first || (ended && reply.foreign === true)) void this.read(sessionKey)
    // A message sent meanwhile may have been taken into another run: ask where it went.
    if (ended && waitingMessages(chat.value).length > 0) this.readLater(sessionKey)
  }

  toolEvent(payload: JsonObject): void {
    const chat = this.chats.get(asString(payload['sessionKey']) ?? '')
    if (chat !== undefined && chat.value.status !== 'new')
      chat.value = applyToolEvent(chat.value, payload, this.now())
  }

  private readLater(sessionKey: string): void {
    const reading = this.reading(sessionKey)
    clearTimeout(reading.timer)
    reading.timer = setTimeout(() => {
      if (waitingMessages(this.chat(sessionKey).value).length > 0) void this.read(sessionKey)
    }, SETTLE_MS)
  }

  private update(sessionKey: string, change: (chat: ChatState) => ChatState): void {
    const chat = this.chat(sessionKey)
    chat.value = change(chat.value)
  }

  private async deliver(sessionKey: string, entry: UserEntry): Promise<void> {
    const idempotencyKey = entry.key ?? randomId()
    try {
      const attachments = await Promise.all((entry.files ?? []).map((file) => this.packed(file)))
      const size = attachments.reduce((sum, one) => sum + one.content.length, 0)
      const files = attachments.length === 0 ? {} : { attachments }
      const params = { sessionKey, message: entry.text, idempotencyKey, ...files }
      const answer = await this.gateway.request('chat.send', params, SEND_MS + size / BYTES_PER_MS)
      // A command such as /stop is answered on the spot and starts no run.
      const ran = asString(answer['runId']) !== undefined && answer['status'] !== 'ok'
      this.settle(sessionKey, entry, { delivery: ran ? 'accepted' : 'settled' })
      if (!ran) void this.read(sessionKey)
    } catch (error) {
      if (error instanceof ConnectionLostError) return // resync() sends it again
      this.settle(sessionKey, entry, { delivery: 'failed', error: sayError(error) })
    }
  }

  private async packed({ kind, name, mimeType, origin, ...file }: MessageFile) {
    const blob = await this.load({ kind, name, mimeType, ...file })
    return { type: kind, mimeType, fileName: name, origin, sizeBytes: blob.size, content: await base64Of(blob) }
  }

  private settle(sessionKey: string, entry: UserEntry, change: Partial<UserEntry>): void {
    this.update(sessionKey, (chat) => {
      const now = chat.entries.find((other) => other.kind === 'user' && other.key === entry.key)
      if (now?.kind !== 'user' || now.delivery !== 'sending') return chat
      return replaceEntry(chat, now.id, { ...now, ...change })
    })
  }

  private reading(sessionKey: string): Reading {
    let reading = this.readings.get(sessionKey)
    if (reading === undefined) {
      reading = { busy: false, again: false, limit: PAGE }
      this.readings.set(sessionKey, reading)
    }
    return reading
  }

  /** One history request per conversation at a time; a wish made meanwhile runs after it. */
  private async read(sessionKey: string): Promise<void> {
    const reading = this.reading(sessionKey)
    if (reading.busy) {
      reading.again = true
      return
    }
    reading.busy = true
    if (this.chat(sessionKey).value.status === 'new')
      this.update(sessionKey, (chat) => ({ ...chat, status: 'loading' }))
    try {
      const response = await this.gateway.request('chat.history', { sessionKey, limit: reading.limit })
      if (this.readings.get(sessionKey) === reading)
        this.update(sessionKey, (chat) => applyHistory(chat, response))
    } catch (error) {
      this.readFailed(sessionKey, error)
    } finally {
      reading.busy = false
    }
    if (reading.again) {
      reading.again = false
      void this.read(sessionKey)
    }
  }

  private readFailed(sessionKey: string, error: unknown): void {
    if (error instanceof ConnectionLostError) return // resync() reads it again
    this.update(sessionKey, (chat) =>
      chat.status === 'ready' ? chat : { ...chat, status: 'failed', error: sayError(error) },
    )
  }
}

const unkept = (file: MessageFile): Promise<Blob> =>
  file.blob === undefined ? Promise.reject(new Error('It is not kept.')) : Promise.resolve(file.blob)
