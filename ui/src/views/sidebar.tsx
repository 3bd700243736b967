// The conversations. On a narrow screen it is a drawer.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { agentOfKey, titleFromKey, type SessionRow } from '../state/sessions'
import { ago } from '../state/time'
import { useNow } from './clock'
import { Confirm, type Question } from './confirm'
import { useStore } from './context'
import { Icon } from './icons'
import { useNarrow } from './narrow'

const SEARCH_FROM = 8

/** The open conversation is listed also before its first message has made it exist. */
function withCurrent(rows: readonly SessionRow[], key: string, now: number): readonly SessionRow[] {
  if (key === '' || rows.some((row) => row.key === key)) return rows
  const draft: SessionRow = {
    key, title: titleFromKey(key), preview: '', channel: '', agentId: agentOfKey(key),
    updatedAt: now, running: false, main: key.endsWith(':main'),
  }
  return [draft, ...rows]
}

const matches = (row: SessionRow, wanted: string): boolean =>
  `${row.title} ${row.preview} ${row.channel}`.toLowerCase().includes(wanted.toLowerCase())

export function Sidebar(): JSX.Element {
  const store = useStore()
  const narrow = useNarrow()
  const now = useNow(30_000)
  const [wanted, setWanted] = useState('')
  const [question, setQuestion] = useState<Question | undefined>(undefined)
  const panel = useRef<HTMLElement>(null)
  const open = store.drawerOpen.value
  const rows = withCurrent(store.sessions.rows.value, store.chats.currentKey.value, now.value)
  const shown = wanted === '' ? rows : rows.filter((row) => matches(row, wanted))
  useDrawerKeys(narrow && open, panel)
  return (
    <>
      {narrow && open && <div class="veil" onClick={() => { store.drawerOpen.value = false }} />}
      <nav ref={panel} id="sidebar" class={`sidebar ${open ? 'is-open' : ''}`} aria-label="Conversations" inert={narrow && !open}>
        <div class="sidebar-head">
          <button type="button" class="button new-chat" onClick={() => store.newSession()}>
            <Icon name="plus" />
            New chat
          </button>
          <button
            type="button" class="icon-button only-narrow" aria-label="Close"
            onClick={() => { store.drawerOpen.value = false }}
          >
            <Icon name="close" />
          </button>
        </div>
        {rows.length >= SEARCH_FROM && (
          <input
            class="search" type="search" placeholder="Find a conversation" aria-label="Find a conversation"
            value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} onFocus={() => void store.sessions.showMore(true)}
          />
        )}
        <ul class="sessions">
          {shown.map((row) => <Row key={row.key} row={row} now={now.value} ask={setQuestion} />)}
          {wanted === '' && store.sessions.hasMore.value && (
            <li class="sessions-more"><button type="button" class="text-button" onClick={() => void store.sessions.showMore()}>Show older conversations</button></li>
          )}
        </ul>
        {shown.length === 0 && <p class="quiet sidebar-empty">Nothing found.</p>}
      </nav>
      {question !== undefined && <Confirm question={question} onClose={() => setQuestion(undefined)} />}
    </>
  )
}

function useDrawerKeys(open: boolean, panel: { current: HTMLElement | null }): void {
  const store = useStore()
  useEffect(() => {
    if (!open) return undefined
    const returnTo = document.activeElement
    panel.current?.querySelector('button')?.focus()
    const key = (event: KeyboardEvent): void => {
      if (event.key === 'Escape') store.drawerOpen.value = false
    }
    document.addEventListener('keydown', key)
    return () => {
      document.removeEventListener('keydown', key)
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [open])
}

interface RowProps {
  readonly row: SessionRow
  readonly now: number
  readonly ask: (question: Question) => void
}

function Row({ row, now, ask }: RowProps): JSX.Element {
  const store = useStore()
  const current = store.chats.currentKey.value === row.key
  const agent = store.agentName(row.agentId)
  const askReset = (): void => ask({
    title: 'Reset this conversation?',
    text: `“${row.title}” starts over: the agent forgets what was said so far.`,
    action: 'Reset',
    run: () => store.resetSession(row.key),
  })
  const askDelete = (): void => ask({
    title: 'Delete this conversation?',
    text: `“${row.title}” and its messages are removed.`,
    action: 'Delete',
    run: () => store.deleteSession(row.key),
  })
  return (
    <li class={`session ${current ? 'is-current' : ''}`}>
      <button type="button" class="session-open" aria-current={current ? 'page' : undefined} onClick={() => store.openSession(row.key)}>
        <span class="session-title">
          {row.running && <span class="dot dot-live" title="Answering" />}
          <span class="session-name">{row.title}</span>
          <time class="session-time">{row.updatedAt > 0 ? ago(row.updatedAt, now) : ''}</time>
        </span>
        {(row.preview !== '' || row.channel !== '' || agent !== '') && (
          <span class="session-preview">
            {agent !== '' && <span class="tag">{agent}</span>}
            {row.channel !== '' && <span class="tag">{row.channel}</span>}
            {row.preview}
          </span>
        )}
      </button>
      <span class="session-actions">
        <button type="button" class="icon-button small" aria-label={`Reset ${row.title}`} title="Reset" onClick={askReset}>
          <Icon name="reset" />
        </button>
        {!row.main && (
          <button type="button" class="icon-button small" aria-label={`Delete ${row.title}`} title="Delete" onClick={askDelete}>
            <Icon name="trash" />
          </button>
        )}
      </span>
    </li>
  )
}
