// Live events folded into a conversation: text as it is written, tool calls, the end.
//
// Guarantees: a lost delta heals with the next one (the cumulative message wins over the
// increment); a late event for a finished reply never removes text.
// Source: OpenClaw gateway protocol, `chat` and `agent` events.

import { asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import { insertReply, replaceEntry, type ChatState, type ReplyEntry, type ToolCall } from './chat-model'
import { display, messageText } from './content'
import { filesOf } from './files'

interface Found {
  readonly chat: ChatState
  readonly reply: ReplyEntry
}

function findReply(chat: ChatState, runId: string): ReplyEntry | undefined {
  return chat.entries.find(
    (entry): entry is ReplyEntry => entry.kind === 'reply' && entry.runId === runId,
  )
}

export const knowsRun = (chat: ChatState, runId: string): boolean =>
  chat.entries.some(
    (entry) =>
      (entry.kind === 'user' && entry.key === runId) ||
      (entry.kind === 'reply' && entry.runId === runId),
  )

function ensureReply(chat: ChatState, runId: string, at: number): Found {
  const existing = findReply(chat, runId)
  if (existing !== undefined) return { chat, reply: existing }
  const reply: ReplyEntry = {
    kind: 'reply',
    id: `run:${runId}`,
    runId,
    text: '',
    tools: [],
    at,
    state: 'working',
    ...(knowsRun(chat, runId) ? {} : { foreign: true }),
  }
  return { chat: { ...chat, entries: insertReply(chat.entries, reply) }, reply }
}

/** The text after a delta. The cumulative message, when sent, is the truth. */
export function nextText(current: string, payload: JsonObject): string {
  const delta = asString(payload['deltaText']) ?? ''
  if (payload['replace'] === true) return delta
  const appended = current + delta
  const whole = messageText(payload['message'])
  if (whole === '' || whole === appended) return appended
  // After a tool call some agents count from the call, not from the start of the run.
  return appended.endsWith(whole) ? appended : whole
}

function finalText(current: string, payload: JsonObject): string {
  const whole = messageText(payload['message'])
  if (whole === '' || current.trimEnd().endsWith(whole.trimEnd())) return current
  return whole
}

function finalFiles(payload: JsonObject): Pick<ReplyEntry, 'files'> {
  const files = filesOf(asObject(payload['message'])['content'])
  return files.length === 0 ? {} : { files }
}

const endTools = (tools: readonly ToolCall[]): ToolCall[] =>
  tools.map((tool) => (tool.state === 'running' ? { ...tool, state: 'done' } : tool))

export function applyChatEvent(before: ChatState, payload: JsonObject, now: number): ChatState {
  const runId = asString(payload['runId'])
  const state = asString(payload['state'])
  if (runId === undefined || state === undefined) return before
  const at = asNumber(asObject(payload['message'])['timestamp']) ?? now
  const { chat, reply } = ensureReply(before, runId, at)
  const next = advance(reply, state, payload)
  if (next === reply) return chat
  const changed = replaceEntry(chat, reply.id, next)
  return next.state === 'working' ? changed : settleQuestion(changed, runId)
}

/** An answered question needs no resending and no waiting sign, acknowledged or not. */
const settleQuestion = (chat: ChatState, key: string): ChatState => ({
  ...chat,
  entries: chat.entries.map((entry) =>
    entry.kind === 'user' && entry.key === key && entry.delivery !== 'settled'
      ? { ...entry, delivery: 'settled' as const }
      : entry,
  ),
})

function advance(reply: ReplyEntry, state: string, payload: JsonObject): ReplyEntry {
  switch (state) {
    case 'status': {
      if (reply.state !== 'working') return reply
      const phase = asString(payload['phase'])
      return phase === undefined ? reply : { ...reply, phase }
    }
    case 'delta':
      return { ...reply, state: 'working', text: nextText(reply.text, payload) }
    case 'final':
      return { ...reply, ...finalFiles(payload), state: 'done', text: finalText(reply.text, payload), tools: endTools(reply.tools) }
    case 'aborted':
      return { ...reply, state: 'aborted', text: finalText(reply.text, payload), tools: endTools(reply.tools) }
    case 'error':
      return {
        ...reply,
        state: 'failed',
        text: finalText(reply.text, payload),
        tools: endTools(reply.tools),
        error: errorText(payload),
      }
    default:
      return reply
  }
}

const KINDS: Readonly<Record<string, string>> = {
  refusal: 'The model declined to answer.',
  timeout: 'The answer took too long.',
  rate_limit: 'The model is busy: too many requests.',
  context_length: 'The conversation no longer fits the model.',
}

function errorText(payload: JsonObject): string {
  const said = asString(payload['errorMessage']) ?? messageText(payload['message'])
  return said !== '' ? said : (KINDS[asString(payload['errorKind']) ?? ''] ?? 'The answer failed.')
}

/** A frame of the `tool` stream. */
export function applyToolEvent(before: ChatState, payload: JsonObject, now: number): ChatState {
  const runId = asString(payload['runId'])
  const data = asObject(payload['data'])
  const id = asString(data['toolCallId'])
  if (runId === undefined || id === undefined) return before
  const { chat, reply } = ensureReply(before, runId, asNumber(payload['ts']) ?? now)
  const known = reply.tools.find((tool) => tool.id === id)
  const tool = advanceTool(known ?? newTool(id, data, reply.text.length), data)
  const tools = known === undefined
    ? [...reply.tools, tool]
    : reply.tools.map((other) => (other.id === id ? tool : other))
  return replaceEntry(chat, reply.id, { ...reply, tools })
}

const newTool = (id: string, data: JsonObject, offset: number): ToolCall => ({
  id,
  name: asString(data['name']) ?? 'tool',
  args: display(data['args']),
  output: '',
  state: 'running',
  offset,
})

function advanceTool(tool: ToolCall, data: JsonObject): ToolCall {
  if (data['phase'] === 'update') return { ...tool, output: display(data['partialResult']) }
  if (data['phase'] !== 'result') return tool
  const failed = data['isError'] === true
  const output = display(data['result']) || (asString(data['toolErrorSummary']) ?? tool.output)
  return { ...tool, output, state: failed ? 'failed' : 'done' }
}
