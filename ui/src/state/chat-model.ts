// One conversation as the page shows it. Plain data; the functions that change it are in
// chat-events.ts (live) and chat-history.ts (from the transcript), all pure.

import type { MessageFile } from './files'

export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly args: string
  readonly output: string
  readonly state: 'running' | 'done' | 'failed'
  /** How much of the reply's text came before this call. */
  readonly offset: number
}

export interface UserEntry {
  readonly kind: 'user'
  readonly id: string
  /** The idempotency key, which is also the run id of the answer. */
  readonly key?: string
  readonly text: string
  readonly files?: readonly MessageFile[]
  readonly at: number
  /** sending: no answer from the gateway yet · accepted: it has it · settled: in the transcript. */
  readonly delivery: 'sending' | 'accepted' | 'failed' | 'settled'
  readonly error?: string
}

export interface ReplyEntry {
  readonly kind: 'reply'
  readonly id: string
  readonly runId?: string
  readonly text: string
  readonly files?: readonly MessageFile[]
  readonly tools: readonly ToolCall[]
  readonly at: number
  readonly state: 'working' | 'done' | 'aborted' | 'failed'
  readonly phase?: string
  readonly error?: string
  /** Started by another client: the transcript is read again when it ends. */
  readonly foreign?: boolean
}

export interface NoteEntry {
  readonly kind: 'note'
  readonly id: string
  readonly text: string
  readonly at: number
}

export type Entry = UserEntry | ReplyEntry | NoteEntry

export interface ChatState {
  readonly entries: readonly Entry[]
  readonly status: 'new' | 'loading' | 'ready' | 'failed'
  readonly hasMore: boolean
  readonly error?: string
}

export const emptyChat: ChatState = { entries: [], status: 'new', hasMore: false }

export type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tools'; readonly tools: readonly ToolCall[] }

/** The reply in reading order: text, the calls made at that point, more text. */
export function partsOf(reply: ReplyEntry): Part[] {
  const parts: Part[] = []
  let from = 0
  let group: ToolCall[] = []
  for (const tool of reply.tools) {
    const upTo = Math.min(Math.max(tool.offset, from), reply.text.length)
    const text = reply.text.slice(from, upTo)
    if (text.trim() !== '') {
      if (group.length > 0) parts.push({ kind: 'tools', tools: group })
      group = []
      parts.push({ kind: 'text', text })
      from = upTo
    }
    group.push(tool)
  }
  if (group.length > 0) parts.push({ kind: 'tools', tools: group })
  const rest = reply.text.slice(from)
  if (rest.trim() !== '') parts.push({ kind: 'text', text: rest })
  return parts
}

export const isWorking = (entry: Entry): entry is ReplyEntry =>
  entry.kind === 'reply' && entry.state === 'working'

export const activeReply = (chat: ChatState): ReplyEntry | undefined => chat.entries.find(isWorking)

const hasReply = (chat: ChatState, key: string): boolean =>
  chat.entries.some((entry) => entry.kind === 'reply' && entry.runId === key)

/** Messages the gateway has, whose run has not begun. */
export const waitingMessages = (chat: ChatState): UserEntry[] =>
  chat.entries.filter(
    (entry): entry is UserEntry =>
      entry.kind === 'user' &&
      entry.delivery === 'accepted' &&
      entry.key !== undefined &&
      !hasReply(chat, entry.key),
  )

/** True for a message that waits behind an answer still being written. */
export function isQueued(chat: ChatState, entry: UserEntry): boolean {
  const waiting = waitingMessages(chat)
  if (!waiting.includes(entry)) return false
  return activeReply(chat) !== undefined || waiting[0] !== entry
}

export function replaceEntry(chat: ChatState, id: string, next: Entry): ChatState {
  return { ...chat, entries: chat.entries.map((entry) => (entry.id === id ? next : entry)) }
}

/** A reply belongs right under its question, also when more questions wait below. */
export function insertReply(entries: readonly Entry[], reply: ReplyEntry): Entry[] {
  const at = entries.findIndex((entry) => entry.kind === 'user' && entry.key === reply.runId)
  if (at < 0 || reply.runId === undefined) return [...entries, reply]
  return [...entries.slice(0, at + 1), reply, ...entries.slice(at + 1)]
}
