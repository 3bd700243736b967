// What agents ask leave for: a card each, above the place to write, in every conversation.

import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Approval, Decision } from '../state/approvals'
import { titleFromKey } from '../state/sessions'
import { duration } from '../state/time'
import { useNow } from './clock'
import { useStore } from './context'
import { Icon } from './icons'

const LABELS: Record<Decision, string> = { 'allow-once': 'Allow once', 'allow-always': 'Always', deny: 'Deny' }
const TITLES: Record<Decision, string> = {
  'allow-once': 'Allow it this time',
  'allow-always': 'Allow exactly this, now and from now on',
  deny: 'Do not allow it',
}
const STYLES: Record<Decision, string> = { 'allow-once': 'button primary', 'allow-always': 'button', deny: 'button refuse' }
// The harmless answer comes first, the one that is usually right last: next to where one writes.
const ORDER: readonly Decision[] = ['deny', 'allow-always', 'allow-once']

/** Once an answered card is gone: on to the next one, or to writing. */
function moveOn(): void {
  requestAnimationFrame(() => {
    if (document.activeElement !== null && document.activeElement !== document.body) return
    const next = document.querySelector<HTMLElement>('.approval button') ?? document.getElementById('message')
    next?.focus()
  })
}

export function Approvals(): JSX.Element | null {
  const { approvals } = useStore()
  const list = approvals.pending.value
  if (list.length === 0) return null
  return (
    <section class="approvals" aria-label="Approvals">
      {list.length > 1 && <p class="approvals-count">{list.length} approvals wait for you</p>}
      <div class="approvals-list">
        {list.map((approval) => <Card key={approval.id} approval={approval} />)}
      </div>
    </section>
  )
}

function Card({ approval }: { approval: Approval }): JSX.Element {
  const store = useStore()
  const { approvals } = store
  const card = useRef<HTMLElement>(null)
  const now = useNow(1000)
  const leftMs = approval.expiresAt - (now.value + approvals.aheadMs.value)
  const offline = store.connection.value.phase !== 'connected'
  const closed = offline || leftMs <= 0 || approvals.deciding.value.has(approval.id)
  const problem = approvals.problems.value.get(approval.id)
  const title = `approval-${approval.id}`
  useEffect(() => {
    if (approvals.takeLinked(approval.id)) card.current?.querySelector('button')?.focus()
  }, [])
  return (
    <article ref={card} class="approval" aria-labelledby={title}>
      <header>
        <Icon name="shield" />
        <h2 id={title}>{approval.agentId === '' ? 'Somebody' : approval.agentId} wants to run</h2>
        <span class={`approval-left ${leftMs < 60_000 ? 'is-short' : ''}`}>
          <Icon name="clock" />
          {leftMs <= 0 ? 'Time is up' : `${duration(leftMs)} left`}
        </span>
      </header>
      <pre tabIndex={0} aria-label="Command"><code>{approval.command}</code></pre>
      {approval.warning !== '' && <p class="approval-warning"><Icon name="alert" />{approval.warning}</p>}
      <footer>
        <Where approval={approval} />
        <div class="approval-actions">
          {ORDER.filter((one) => approval.allowed.includes(one)).map((decision) => (
            <button
              key={decision} type="button" class={STYLES[decision]} disabled={closed} title={TITLES[decision]}
              onClick={() => void approvals.decide(approval.id, decision).then(moveOn)}
            >
              {LABELS[decision]}
            </button>
          ))}
        </div>
      </footer>
      <p class="approval-problem" role="alert">{problem ?? ''}</p>
    </article>
  )
}

function Where({ approval }: { approval: Approval }): JSX.Element {
  const store = useStore()
  const { sessionKey, cwd, host } = approval
  const row = store.sessions.rows.value.find((candidate) => candidate.key === sessionKey)
  const elsewhere = sessionKey !== '' && sessionKey !== store.chats.currentKey.value
  return (
    <p class="approval-where">
      {cwd !== '' && <span>in <code>{cwd}</code></span>}
      {host !== '' && host !== 'gateway' && <span>on {host}</span>}
      {elsewhere && (
        <button type="button" class="text-button" onClick={() => store.openSession(sessionKey)}>
          {row?.title ?? titleFromKey(sessionKey)}
        </button>
      )}
    </p>
  )
}
