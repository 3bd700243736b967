// The empty conversation: a greeting, and something to click for a start.

import type { JSX } from 'preact'
import { agentOfKey } from '../state/sessions'
import { useStore } from './context'
import { Mark } from './icons'

const PROMPTS = [
  ['Say hello', 'Hello! Who are you, and what can you do?'],
  ['See some Markdown', 'Show me **bold**, a list, and a code block:\n\n- one\n- two\n\n```python\nprint("hello")\n```'],
  ['Plan the day', 'Help me plan today: three things that matter, and when to do them.'],
] as const

export function Welcome(): JSX.Element {
  const store = useStore()
  const id = agentOfKey(store.chats.currentKey.value)
  const name = store.sessions.agents.value.find((agent) => agent.id === id)?.name ?? id
  return (
    <section class="welcome">
      <Mark />
      <h1>What is on your mind?</h1>
      <p class="quiet">You are talking to <strong>{name}</strong>.</p>
      <ul>
        {PROMPTS.map(([title, text]) => (
          <li key={title}>
            <button type="button" onClick={() => store.chats.send(text)}>
              <strong>{title}</strong>
              <span>{text.replace(/[*`\n]+/g, ' ')}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
