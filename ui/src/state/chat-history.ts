// The transcript as the gateway tells it, merged with what the page already shows.
//
// Guarantees: nothing the user typed disappears before it is in the transcript; an answer
// still being written is kept and stays under its question; nothing is shown twice.
// Source: OpenClaw gateway protocol, chat.history.

import { asArray, asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import { insertReply, type ChatState, type Entry, type ReplyEntry, type ToolCall, type UserEntry } from './chat-model'
import { callsOf, display, textOf } from './content'
import { filesOf, type MessageFile } from './files'

interface Facts {
  readonly id: string
  readonly runId: string | undefined
  readonly key: string | undefined
  readonly at: number
}

function factsOf(message: JsonObject, index: number): Facts {
  const marks = asObject(message['__openclaw'])
  const key = asString(marks['idempotencyKey']) ?? asString(message['idempotencyKey'])
  return {
    id: asString(marks['id']) ?? `stored:${index}`,
    runId: asString(marks['runId']),
    key: key?.replace(/:user$/, ''),
    at: asNumber(message['timestamp']) ?? 0,
  }
}

export function readTranscript(messages: readonly unknown[]): Entry[] {
  const entries: Entry[] = []
  messages.forEach((item, index) => {
    const message = asObject(item)
    const facts = factsOf(message, index)
    const role = asString(message['role'])
    if (role === 'user') entries.push(userEntry(message, facts))
    else if (role === 'assistant') addAssistant(entries, message, facts)
    else if (role === 'toolResult') addToolResult(entries, message, facts)
    else if (role === 'system') {
      const text = textOf(message['content'])
      if (text !== '') entries.push({ kind: 'note', id: facts.id, text, at: facts.at })
    }
  })
  return entries
}

const userEntry = (message: JsonObject, facts: Facts): UserEntry => ({
  kind: 'user',
  id: facts.id,
  text: textOf(message['content']),
  at: facts.at,
  delivery: 'settled',
  ...withFiles(filesOf(message['content'])),
  ...(facts.key === undefined ? {} : { key: facts.key }),
})

const withFiles = (files: readonly MessageFile[]): { readonly files?: readonly MessageFile[] } =>
  files.length === 0 ? {} : { files }

function addAssistant(entries: Entry[], message: JsonObject, facts: Facts): void {
  const last = entries.at(-1)
  const joins = last?.kind === 'reply' &&
    (facts.runId === undefined ? last.tools.length > 0 && last.runId === undefined : last.runId === facts.runId)
  const base: ReplyEntry = joins && last?.kind === 'reply' ? last : newReply(entries, facts)
  const text = textOf(message['content'])
  const joined = base.text !== '' && text !== '' ? `${base.text}\n\n${text}` : base.text + text
  const calls = callsOf(message['content']).map((call): ToolCall => ({
    ...call,
    output: '',
    state: 'done',
    offset: joined.length,
  }))
  const next = { ...base, ...endOf(message), text: joined, tools: [...base.tools, ...calls], ...moreFiles(base, message) }
  if (joins) entries[entries.length - 1] = next
  else entries.push(next)
}

const moreFiles = (reply: ReplyEntry, message: JsonObject): { readonly files?: readonly MessageFile[] } =>
  withFiles([...(reply.files ?? []), ...filesOf(message['content'])])

/** Without a mark of its own, an answer belongs to the question right above it. */
function newReply(entries: readonly Entry[], facts: Facts): ReplyEntry {
  const last = entries.at(-1)
  const runId = facts.runId ?? (last?.kind === 'user' ? last.key : undefined)
  return {
    kind: 'reply',
    id: facts.id,
    text: '',
    tools: [],
    at: facts.at,
    state: 'done',
    ...(runId === undefined ? {} : { runId }),
  }
}

function endOf(message: JsonObject): Pick<ReplyEntry, 'state' | 'error'> {
  const reason = asString(message['stopReason'])
  if (reason === 'aborted') return { state: 'aborted' }
  if (reason !== 'error') return { state: 'done' }
  return { state: 'failed', error: asString(message['errorMessage']) ?? 'The answer failed.' }
}

/** A result joins its call; where the transcript has no call of its own, it stands for both. */
function addToolResult(entries: Entry[], message: JsonObject, facts: Facts): void {
  const callId = asString(message['toolCallId']) ?? facts.id
  const content = asArray(message['content']).filter((block) => filesOf([block]).length === 0)
  const output = display(content.length > 0 ? content : (asString(message['content']) ?? message['details']))
  const state = message['isError'] === true ? 'failed' : 'done'
  const index = entries.findLastIndex(
    (entry) => entry.kind === 'reply' && entry.tools.some((tool) => tool.id === callId),
  )
  const reply = entries[index]
  if (reply?.kind === 'reply') {
    const tools = reply.tools.map((tool) => (tool.id === callId ? { ...tool, output, state } as const : tool))
    entries[index] = { ...reply, tools, ...moreFiles(reply, message) }
    return
  }
  const name = asString(message['toolName']) ?? 'tool'
  const args = display(message['arguments'])
  const last = entries.at(-1)
  const joins = last?.kind === 'reply' && last.runId === facts.runId
  const base: ReplyEntry = joins && last?.kind === 'reply' ? last : newReply(entries, facts)
  const tool: ToolCall = { id: callId, name, args, output, state, offset: base.text.length }
  const next = { ...base, tools: [...base.tools, tool], ...moreFiles(base, message) }
  if (joins) entries[entries.length - 1] = next
  else entries.push(next)
}

/** What the gateway says is queued or running now; undefined when it does not say. */
function activeRuns(response: JsonObject): ReadonlySet<string> | undefined {
  const session = asObject(response['sessionInfo'])
  const inFlight = asString(asObject(response['inFlightRun'])['runId'])
  const queued = asArray(asObject(response['pendingInputs'])['items']).map((value) => {
    const item = asObject(value)
    return asString(item['runId']) ?? asString(item['idempotencyKey'])
  })
  const listed = [...asArray(session['activeRunIds']), ...queued].filter((id): id is string => typeof id === 'string')
  if (inFlight !== undefined) return new Set([...listed, inFlight])
  if (listed.length > 0 || session['hasActiveRun'] === false) return new Set(listed)
  return undefined
}

export function applyHistory(chat: ChatState, response: JsonObject): ChatState {
  const stored = readTranscript(asArray(response['messages']))
  const running = activeRuns(response)
  const answered = new Set(stored.flatMap((entry) => (entry.kind === 'reply' ? [entry.runId] : [])))
  const questions = new Set(stored.flatMap((entry) => (entry.kind === 'user' ? [entry.key] : [])))
  const liveReplies = chat.entries.flatMap((entry) => keepReply(entry, questions, answered, running))
  const live = new Set(liveReplies.map((reply) => reply.runId))
  let entries = stored.filter((entry) => !(entry.kind === 'reply' && entry.runId !== undefined && live.has(entry.runId)))
  entries = restoreUsers(entries, chat.entries, answered, running)
  for (const reply of liveReplies) entries = insertReply(entries, reply)
  entries = addInFlight(entries, response)
  return { entries, status: 'ready', hasMore: response['hasMore'] === true }
}

/** Live replies that the transcript does not tell better. */
function keepReply(
  entry: Entry,
  questions: ReadonlySet<string | undefined>,
  answered: ReadonlySet<string | undefined>,
  running: ReadonlySet<string> | undefined,
): ReplyEntry[] {
  if (entry.kind !== 'reply' || entry.runId === undefined || !entry.id.startsWith('run:')) return []
  const stored = answered.has(entry.runId)
  // A failed or stopped answer may not be in the transcript, but it belongs to its question.
  if (entry.state !== 'working') return stored || !questions.has(entry.runId) ? [] : [entry]
  if (running?.has(entry.runId) === true) return [entry]
  if (stored) return []
  // Not running and not in the transcript: it ended while we were away and left nothing.
  return running === undefined ? [entry] : [{ ...entry, state: 'aborted' }]
}

function restoreUsers(
  stored: readonly Entry[],
  shown: readonly Entry[],
  answered: ReadonlySet<string | undefined>,
  running: ReadonlySet<string> | undefined,
): Entry[] {
  const open = new Map<string, UserEntry>()
  for (const entry of shown)
    if (entry.kind === 'user' && entry.key !== undefined && entry.delivery !== 'settled') open.set(entry.key, entry)
  const sent = new Map(shown.flatMap((entry) => (entry.kind === 'user' && entry.files !== undefined ? [[entry.key, entry.files] as const] : [])))
  const entries = stored.map((told): Entry => {
    if (told.kind !== 'user' || told.key === undefined) return told
    const entry = withBytes(told, sent.get(told.key))
    const mine = open.get(told.key)
    open.delete(told.key)
    const pending = running === undefined ? mine?.delivery === 'accepted' : running.has(told.key)
    return pending && !answered.has(told.key) ? { ...entry, delivery: 'accepted' } : entry
  })
  for (const mine of open.values()) insertWhereShown(entries, shown, mine)
  return entries
}

/** What this page sent itself need not be fetched to be shown. */
function withBytes(entry: UserEntry, sent: readonly MessageFile[] | undefined): UserEntry {
  if (sent === undefined || sent.length !== entry.files?.length) return entry
  const files = entry.files.map((file, index) => {
    const blob = sent[index]?.blob
    return blob === undefined || file.sha256 === undefined ? file : { ...file, blob }
  })
  return { ...entry, files }
}

/** After the exchange it followed on the screen, else before the one it preceded. */
function insertWhereShown(entries: Entry[], shown: readonly Entry[], mine: UserEntry): void {
  const place = shown.indexOf(mine)
  const find = (entry: Entry): number =>
    entry.kind !== 'user' || entry.key === undefined
      ? -1
      : entries.findIndex((other) => other.kind === 'user' && other.key === entry.key)
  const before = shown.slice(0, place).map(find).findLast((index) => index >= 0) ?? -1
  const after = shown.slice(place + 1).map(find).find((index) => index >= 0) ?? -1
  let at = before < 0 && after >= 0 ? after : entries.length
  if (before >= 0) {
    at = before + 1
    while (at < entries.length && entries[at]?.kind !== 'user') at += 1
  }
  entries.splice(at, 0, mine)
}

/** An answer that was being written when this page opened. */
function addInFlight(entries: Entry[], response: JsonObject): Entry[] {
  const run = asObject(response['inFlightRun'])
  const runId = asString(run['runId'])
  if (runId === undefined) return entries
  const text = asString(run['text']) ?? ''
  const at = entries.findIndex((entry) => entry.kind === 'reply' && entry.runId === runId)
  const known = entries[at]
  if (known?.kind === 'reply') {
    const next: Entry = { ...known, state: 'working', text: text.length > known.text.length ? text : known.text }
    return entries.map((entry, index) => (index === at ? next : entry))
  }
  return insertReply(entries, {
    kind: 'reply', id: `run:${runId}`, runId, text, tools: [], at: Date.now(), state: 'working',
  })
}
