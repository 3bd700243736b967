// One conversation: the messages, kept scrolled to the end while you read there.

import type { JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { activeReply, isQueued, waitingMessages, type ChatState, type Entry, type UserEntry } from '../state/chat-model'
import { titleFromKey } from '../state/sessions'
import { Approvals } from './approvals'
import { Composer } from './composer'
import { useStore } from './context'
import { DropZone } from './drop'
import { Icon } from './icons'
import { Note, Reply, Thinking, UserMessage } from './messages'
import { isMarkdownReady } from './prose'
import { Welcome } from './welcome'

const NEAR_END_PX = 80

export function Chat(): JSX.Element {
  const store = useStore()
  const area = useRef<HTMLElement>(null)
  const key = store.chats.currentKey.value
  const chat = store.chats.current.value
  const row = store.sessions.rows.value.find((candidate) => candidate.key === key)
  return (
    <main ref={area} class="chat" aria-labelledby="chat-title">
      <h1 class="offscreen" id="chat-title">{row?.title ?? titleFromKey(key)}</h1>
      <Scroller key={key} chat={chat} />
      <Approvals />
      <Composer />
      <DropZone target={area} />
    </main>
  )
}

function Scroller({ chat }: { chat: ChatState }): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  const following = useRef(true)
  const [away, setAway] = useState(false)
  const toEnd = (): void => {
    following.current = true
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight
  }
  const last = chat.entries.at(-1)
  const mine = last?.kind === 'user' && last.delivery === 'sending' ? last.id : ''
  useEffect(() => { if (mine !== '') toEnd() }, [mine])
  useLayoutEffect(() => { if (following.current) toEnd() }, [chat])
  const isReady = isMarkdownReady.value
  useEffect(() => { if (following.current) toEnd() }, [isReady]) // texts have become tables and lists
  useEffect(() => {
    const observer = new ResizeObserver(() => { if (following.current) toEnd() })
    if (box.current !== null) observer.observe(box.current)
    return () => observer.disconnect()
  }, [])
  const scrolled = (): void => {
    const view = box.current
    if (view === null) return
    following.current = view.scrollHeight - view.scrollTop - view.clientHeight < NEAR_END_PX
    setAway(!following.current)
  }
  return (
    <div class="scroll-frame">
      <div class="scroll" ref={box} onScroll={scrolled} tabIndex={0} role="region" aria-label="Messages">
        <div class="column">
          <Messages chat={chat} />
        </div>
      </div>
      {away && (
        <button type="button" class="to-end" aria-label="Go to the newest message" onClick={toEnd}><Icon name="down" /></button>
      )}
    </div>
  )
}

function Messages({ chat }: { chat: ChatState }): JSX.Element {
  const store = useStore()
  if (chat.status === 'failed') return <LoadProblem error={chat.error ?? ''} />
  if (chat.entries.length === 0) return chat.status === 'ready' ? <Welcome /> : <Skeleton />
  const waiting = waitingMessages(chat)
  const idle = activeReply(chat) === undefined
  return (
    <>
      {chat.hasMore && (
        <button type="button" class="button earlier" onClick={() => store.chats.showEarlier()}>Show earlier messages</button>
      )}
      {chat.entries.map((entry) => <Message key={entry.id} entry={entry} chat={chat} />)}
      {idle && waiting.length > 0 && <div class="message reply"><Thinking text="Thinking" /></div>}
    </>
  )
}

function Message({ entry, chat }: { entry: Entry; chat: ChatState }): JSX.Element {
  if (entry.kind === 'user') return <UserMessage entry={entry} queued={isQueued(chat, entry)} />
  if (entry.kind === 'reply') return <Reply entry={entry} question={questionOf(chat, entry.runId)} />
  return <Note entry={entry} />
}

const questionOf = (chat: ChatState, runId: string | undefined): UserEntry | undefined =>
  runId === undefined
    ? undefined
    : chat.entries.find((entry): entry is UserEntry => entry.kind === 'user' && entry.key === runId)

const Skeleton = (): JSX.Element => (
  <div class="skeleton" role="status" aria-label="Loading the conversation"><i /><i /><i /></div>
)

function LoadProblem({ error }: { error: string }): JSX.Element {
  const store = useStore()
  return (
    <div class="problem" role="alert">
      <Icon name="alert" />
      <div><strong>The conversation could not be read</strong><p>{error}</p></div>
      <button type="button" class="button" onClick={() => store.chats.showEarlier()}><Icon name="retry" />Retry</button>
    </div>
  )
}
