// One message each: what you said, what was answered, what was noted.

import type { JSX } from 'preact'
import { parseObject } from '../protocol/json'
import { partsOf, type NoteEntry, type ReplyEntry, type ToolCall, type UserEntry } from '../state/chat-model'
import { clockTime, fullTime } from '../state/time'
import { CopyButton } from './copy'
import { useStore } from './context'
import { Files } from './files'
import { Icon } from './icons'
import { memo } from './memo'
import { Prose } from './prose'

function Time({ at }: { at: number }): JSX.Element | null {
  if (at === 0) return null
  return <time dateTime={new Date(at).toISOString()} title={fullTime(at)}>{clockTime(at, Date.now())}</time>
}

interface UserProps {
  readonly entry: UserEntry
  readonly queued: boolean
}

export const UserMessage = memo(function UserMessage({ entry, queued }: UserProps): JSX.Element {
  const store = useStore()
  return (
    <article class={`message user is-${entry.delivery}`} aria-label="You said">
      {entry.files !== undefined && <Files files={entry.files} />}
      {entry.text !== '' && <div class="bubble">{entry.text}</div>}
      <footer class="meta">
        {entry.text !== '' && <CopyButton text={entry.text} label="Copy message" />}
        {entry.delivery === 'sending' && <span>Sending…</span>}
        {queued && (
          <>
            <span class="queued"><Icon name="clock" />Queued</span>
            <button type="button" class="text-button" onClick={() => void store.chats.stop(entry.key)}>Cancel</button>
          </>
        )}
        <Time at={entry.at} />
      </footer>
      {entry.delivery === 'failed' && (
        <div class="problem" role="alert">
          <Icon name="alert" />
          <div><strong>Not sent</strong><p>{entry.error}</p></div>
          <button type="button" class="button" onClick={() => store.chats.retry(entry)}><Icon name="retry" />Retry</button>
        </div>
      )}
    </article>
  )
})

const PHASES: Readonly<Record<string, string>> = {
  preparing_workspace: 'Preparing',
  preparing_context: 'Reading the conversation',
  memory_flushing: 'Tidying memory',
  starting_model: 'Thinking',
}

interface ReplyProps {
  readonly entry: ReplyEntry
  readonly question: UserEntry | undefined
}

export const Reply = memo(function Reply({ entry, question }: ReplyProps): JSX.Element {
  const store = useStore()
  const parts = partsOf(entry)
  const working = entry.state === 'working'
  const silent = entry.state === 'done' && parts.length === 0 && entry.files === undefined
  return (
    <article class={`message reply is-${entry.state}`} aria-label="Answer" aria-busy={working}>
      {parts.map((part, index) =>
        part.kind === 'text'
          ? <Prose key={index} text={part.text} live={working && index === parts.length - 1} />
          : <Tools key={index} tools={part.tools} />,
      )}
      {entry.files !== undefined && <Files files={entry.files} />}
      {working && entry.text === '' && <Thinking text={PHASES[entry.phase ?? ''] ?? 'Thinking'} />}
      {silent && <p class="quiet">No answer was needed.</p>}
      {entry.state === 'failed' && (
        <div class="problem">
          <Icon name="alert" />
          <div><strong>The answer failed</strong><p>{entry.error}</p></div>
          {question !== undefined && (
            <button type="button" class="button" onClick={() => store.chats.retry(question)}><Icon name="retry" />Retry</button>
          )}
        </div>
      )}
      {!working && (
        <footer class="meta">
          {entry.state === 'aborted' && <span class="stopped">Stopped</span>}
          <Time at={entry.at} />
          {entry.text !== '' && <CopyButton text={entry.text} label="Copy answer" />}
        </footer>
      )}
    </article>
  )
})

export function Thinking({ text }: { text: string }): JSX.Element {
  return (
    <p class="thinking">
      <span class="columns" aria-hidden="true"><i /><i /><i /></span>
      {text}
    </p>
  )
}

const Tools = ({ tools }: { tools: readonly ToolCall[] }): JSX.Element => (
  <ul class="tools" aria-label="Tools used">
    {tools.map((tool) => <Tool key={tool.id} tool={tool} />)}
  </ul>
)

const TOOL_STATES = { running: 'Running', done: 'Done', failed: 'Failed' } as const

/** The arguments on one line: the value of a single one, else `name: value, …`. */
function brief(args: string): string {
  const fields = Object.entries(parseObject(args) ?? {})
  const show = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
  const only = fields.length === 1 ? fields[0] : undefined
  const line = only !== undefined ? show(only[1]) : fields.map(([name, value]) => `${name}: ${show(value)}`).join(', ')
  return (line === '' ? args : line).replace(/\s+/g, ' ').slice(0, 120)
}

function Tool({ tool }: { tool: ToolCall }): JSX.Element {
  return (
    <li class={`tool is-${tool.state}`}>
      <details>
        <summary>
          <Icon name="chevron" />
          <span class="tool-name">{tool.name}</span>
          <span class="tool-brief">{brief(tool.args)}</span>
          <span class="tool-state">{TOOL_STATES[tool.state]}</span>
        </summary>
        {tool.args !== '' && <><h4>Input</h4><pre tabIndex={0}>{tool.args}</pre></>}
        {tool.output !== '' && <><h4>Output</h4><pre tabIndex={0}>{tool.output}</pre></>}
        {tool.args === '' && tool.output === '' && <p class="quiet">Nothing to show.</p>}
      </details>
    </li>
  )
}

export const Note = ({ entry }: { entry: NoteEntry }): JSX.Element => (
  <p class="note"><span>{entry.text}</span></p>
)
