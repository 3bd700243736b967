import { describe, expect, it } from 'vitest'
import { applyChatEvent, applyToolEvent } from '../src/state/chat-events'
import { applyHistory } from '../src/state/chat-history'
import { emptyChat, isQueued, partsOf, type ChatState, type ReplyEntry, type UserEntry } from '../src/state/chat-model'

const NOW = 1_000
const text = (value: string) => ({ role: 'assistant', content: [{ type: 'text', text: value }], timestamp: 5 })
const sent = (key: string, delivery: UserEntry['delivery'] = 'accepted'): UserEntry => ({
  kind: 'user', id: `sent:${key}`, key, text: `ask ${key}`, at: 1, delivery,
})
const chatOf = (...entries: ChatState['entries']): ChatState => ({ ...emptyChat, status: 'ready', entries })
const event = (runId: string, state: string, more: object = {}) => ({ runId, state, sessionKey: 's', ...more })
const fold = (chat: ChatState, ...events: ReturnType<typeof event>[]): ChatState =>
  events.reduce((before, payload) => applyChatEvent(before, payload, NOW), chat)
const replyOf = (chat: ChatState, runId: string): ReplyEntry => {
  const reply = chat.entries.find((entry) => entry.kind === 'reply' && entry.runId === runId)
  if (reply?.kind !== 'reply') throw new Error(`no reply for ${runId}`)
  return reply
}
const shape = (chat: ChatState): string[] =>
  chat.entries.map((entry) => (entry.kind === 'note' ? 'note' : `${entry.kind}:${entry.kind === 'user' ? entry.key : entry.runId}`))
const storedUser = (key: string) => ({ role: 'user', content: `ask ${key}`, timestamp: 1, __openclaw: { id: `u-${key}`, idempotencyKey: `${key}:user` } })
const storedReply = (key: string, value: string) => ({ ...text(value), __openclaw: { id: `a-${key}`, runId: key } })

describe('streaming', () => {
  it('assembles deltas and ends with the final message', () => {
    const chat = fold(
      chatOf(sent('k')),
      event('k', 'status', { phase: 'starting_model' }),
      event('k', 'delta', { deltaText: 'Hello' }),
      event('k', 'delta', { deltaText: ' there' }),
      event('k', 'final', { message: text('Hello there.') }),
    )
    expect(replyOf(chat, 'k')).toMatchObject({ text: 'Hello there.', state: 'done' })
    expect(shape(chat)).toEqual(['user:k', 'reply:k'])
  })

  it('replaces the text when told to', () => {
    const chat = fold(chatOf(), event('k', 'delta', { deltaText: 'draft' }), event('k', 'delta', { deltaText: 'better', replace: true }))
    expect(replyOf(chat, 'k').text).toBe('better')
  })

  it('heals a lost delta from the cumulative message', () => {
    const chat = fold(
      chatOf(),
      event('k', 'delta', { deltaText: 'one', message: text('one') }),
      event('k', 'delta', { deltaText: ' three', message: text('one two three') }),
    )
    expect(replyOf(chat, 'k').text).toBe('one two three')
  })

  it('keeps the partial text of an aborted answer and the reason of a failed one', () => {
    const chat = fold(
      chatOf(sent('a'), sent('b')),
      event('a', 'delta', { deltaText: 'half' }),
      event('a', 'aborted', { stopReason: 'rpc' }),
      event('b', 'error', { errorKind: 'rate_limit' }),
    )
    expect(replyOf(chat, 'a')).toMatchObject({ state: 'aborted', text: 'half' })
    expect(replyOf(chat, 'b')).toMatchObject({ state: 'failed', error: 'The model is busy: too many requests.' })
  })

  it('puts an answer under its question and calls the later question queued', () => {
    const second = sent('b')
    const chat = fold(chatOf(sent('a'), second), event('a', 'delta', { deltaText: 'x' }))
    expect(shape(chat)).toEqual(['user:a', 'reply:a', 'user:b'])
    expect(isQueued(chat, second)).toBe(true)
    expect(isQueued(fold(chat, event('a', 'final')), second)).toBe(false)
  })

  it('shows tool calls where they happened', () => {
    const tool = (phase: string, more: object) =>
      ({ runId: 'k', stream: 'tool', ts: 1, data: { phase, toolCallId: 't', ...more } })
    let chat = fold(chatOf(sent('k')), event('k', 'delta', { deltaText: 'Looking. ' }))
    chat = applyToolEvent(chat, tool('start', { name: 'exec', args: { command: 'ls' } }), NOW)
    chat = fold(chat, event('k', 'delta', { deltaText: 'Found it.' }))
    chat = applyToolEvent(chat, tool('result', { result: { content: [{ type: 'text', text: 'a.txt' }] }, isError: false }), NOW)
    expect(partsOf(replyOf(chat, 'k')).map((part) => (part.kind === 'text' ? part.text : part.tools[0]?.output)))
      .toEqual(['Looking. ', 'a.txt', 'Found it.'])
  })
})

describe('history', () => {
  it('reads a transcript with tools, notes and an error', () => {
    const chat = applyHistory(chatOf(), {
      hasMore: true,
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'Reset' }], timestamp: 1 },
        storedUser('k'),
        { role: 'assistant', content: [{ type: 'toolCall', id: 't', name: 'exec', arguments: { command: 'ls' } }], __openclaw: { runId: 'k' } },
        { role: 'toolResult', toolCallId: 't', content: [{ type: 'text', text: 'denied' }], isError: true },
        storedReply('k', 'No luck.'),
      ],
    })
    expect(shape(chat)).toEqual(['note', 'user:k', 'reply:k'])
    expect(replyOf(chat, 'k').tools).toMatchObject([{ name: 'exec', output: 'denied', state: 'failed' }])
    expect(chat.hasMore).toBe(true)
  })

  it('shows a tool result that has no call of its own', () => {
    const chat = applyHistory(chatOf(), {
      messages: [
        storedUser('k'),
        {
          role: 'toolResult', toolCallId: 't', toolName: 'exec', content: [], isError: false,
          arguments: { command: 'ls' }, details: { files: 1 }, __openclaw: { runId: 'k' },
        },
        storedReply('k', 'One file.'),
      ],
    })
    expect(shape(chat)).toEqual(['user:k', 'reply:k'])
    expect(replyOf(chat, 'k')).toMatchObject({ text: 'One file.', tools: [{ name: 'exec', state: 'done' }] })
    expect(replyOf(chat, 'k').tools[0]?.output).toContain('"files": 1')
  })

  it('shows nothing twice after a refetch', () => {
    const live = fold(chatOf(sent('k')), event('k', 'final', { message: text('hi') }))
    const chat = applyHistory(live, { messages: [storedUser('k'), storedReply('k', 'hi')] })
    expect(shape(chat)).toEqual(['user:k', 'reply:k'])
  })

  it('matches an answer without marks to the question above it', () => {
    const live = fold(chatOf(sent('k')), event('k', 'final', { message: text('hi') }))
    const chat = applyHistory(live, { messages: [storedUser('k'), text('hi')] })
    expect(shape(chat)).toEqual(['user:k', 'reply:k'])
  })

  it('keeps what has not reached the gateway yet', () => {
    const chat = applyHistory(chatOf(sent('a', 'sending'), sent('b', 'failed')), { messages: [] })
    expect(shape(chat)).toEqual(['user:a', 'user:b'])
  })

  it('keeps an answer that is still being written, above later questions', () => {
    const live = fold(chatOf(sent('a'), sent('b')), event('a', 'delta', { deltaText: 'so far' }))
    const chat = applyHistory(live, {
      messages: [storedUser('a')],
      sessionInfo: { hasActiveRun: true, activeRunIds: ['a'] },
    })
    expect(shape(chat)).toEqual(['user:a', 'reply:a', 'user:b'])
    expect(replyOf(chat, 'a')).toMatchObject({ state: 'working', text: 'so far' })
  })

  it('knows what the gateway has queued, and settles what it took into another run', () => {
    const live = chatOf(sent('a'), sent('b'))
    const chat = applyHistory(live, {
      messages: [storedUser('a'), storedUser('b')],
      pendingInputs: { items: [{ runId: 'b' }], total: 1 },
    })
    expect(chat.entries).toMatchObject([{ delivery: 'settled' }, { delivery: 'accepted' }])
  })

  it('picks up an answer in flight and continues it', () => {
    let chat = applyHistory(chatOf(), { messages: [storedUser('a')], inFlightRun: { runId: 'a', text: 'one' } })
    chat = fold(chat, event('a', 'delta', { deltaText: ' two' }))
    expect(replyOf(chat, 'a')).toMatchObject({ state: 'working', text: 'one two' })
  })

  it('ends an answer that stopped while the page was away', () => {
    const live = fold(chatOf(sent('a')), event('a', 'delta', { deltaText: 'half' }))
    const chat = applyHistory(live, { messages: [storedUser('a')], sessionInfo: { hasActiveRun: false, activeRunIds: [] } })
    expect(replyOf(chat, 'a').state).toBe('aborted')
    expect(chat.entries[0]).toMatchObject({ kind: 'user', delivery: 'settled' })
  })

  it('keeps a refused message where it was, and lets old exchanges go', () => {
    const live = fold(chatOf(sent('old'), sent('a'), sent('no', 'failed'), sent('b')), event('old', 'final'), event('a', 'final'), event('b', 'error'))
    const chat = applyHistory(live, { messages: [storedUser('a'), storedReply('a', 'x'), storedUser('b')] })
    expect(shape(chat)).toEqual(['user:a', 'reply:a', 'user:no', 'user:b', 'reply:b'])
  })

  it('takes the transcript of answers other clients asked for', () => {
    const live = fold(chatOf(), event('other', 'final', { message: text('hi') }))
    const chat = applyHistory(live, { messages: [{ role: 'assistant', content: 'hi', __openclaw: { id: 'x' } }] })
    expect(chat.entries).toHaveLength(1)
  })
})
