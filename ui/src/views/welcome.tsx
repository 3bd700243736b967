// The empty conversation: a greeting, and something to click for a start.

import type { JSX } from 'preact'
import { agentOfKey } from '../state/sessions'
import { useStore } from './context'
import { Mark } from './icons'
import { useMaySetUp } from './setup'

interface Prompt {
  readonly title: string
  readonly about: string
  readonly text: string
}

const PROMPTS: readonly Prompt[] = [
  { title: 'Say hello', about: 'Who is there, and what can you do?', text: 'Hello! Who are you, and what can you do?' },
  {
    title: 'Try some Markdown',
    about: 'A list, a table and a bit of code.',
    text: 'Show me **bold**, a list, a table and some code:\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint("hello")\n```',
  },
  { title: 'Plan the day', about: 'Three things that matter, and when.', text: 'Help me plan today: three things that matter, and when to do them.' },
]

export function Welcome(): JSX.Element {
  const store = useStore()
  return (
    <section class="welcome">
      <Mark />
      <h2>What is on your mind?</h2>
      <p class="quiet">You are talking to <AgentName /></p>
      <ul>
        {PROMPTS.map((prompt) => (
          <li key={prompt.title}>
            <button type="button" onClick={() => store.chats.send(prompt.text)}>
              <strong>{prompt.title}</strong>
              <span>{prompt.about}</span>
            </button>
          </li>
        ))}
      </ul>
      <OnlyEcho />
    </section>
  )
}

/** A fresh gateway has no model: its agent repeats what it is told. Nothing moves when that is known. */
function OnlyEcho(): JSX.Element {
  const store = useStore()
  const mayIt = useMaySetUp()
  const id = agentOfKey(store.chats.currentKey.value)
  const agent = store.sessions.agents.value.find((one) => one.id === id)
  const isEcho = agent?.runtime === 'echo'
  return (
    <div class={`only-echo ${isEcho && mayIt ? '' : 'is-hidden'}`}>
      <p><strong>No model yet.</strong> This agent only repeats what you say.</p>
      <button type="button" class="button" onClick={() => { store.setUp.value = 'model' }}>Set up a model</button>
    </div>
  )
}

function AgentName(): JSX.Element {
  const store = useStore()
  const agents = store.sessions.agents.value
  const id = agentOfKey(store.chats.currentKey.value)
  if (agents.length < 2) return <strong>{agents[0]?.name ?? id}</strong>
  return (
    <select aria-label="Agent" value={id} onChange={(event) => store.newSession(event.currentTarget.value)}>
      {agents.map((agent) => <option key={agent.id} value={agent.id}>{agent.name}</option>)}
    </select>
  )
}
