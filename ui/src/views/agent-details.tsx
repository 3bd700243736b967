// One agent: how it shows itself, and its documents.

import type { JSX, TargetedEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { isConflict, type AgentRow, type Agents, type DocumentRow, type DocumentText } from '../state/agents'
import { sayError } from '../state/gateway'
import { Face, ModelField } from './agent-parts'
import { AgentSkills } from './agent-skills'
import type { Question } from './confirm'
import { useStore } from './context'
import { Icon } from './icons'

const HINTS: Readonly<Record<string, string>> = {
  'AGENTS.md': 'How it works.',
  'SOUL.md': 'How it is.',
  'IDENTITY.md': 'Who it is: “- Name: …”, “- Emoji: …”.',
  'USER.md': 'Whom it helps.',
  'MEMORY.md': 'What is worth keeping.',
  'BOOTSTRAP.md': 'What it is told besides, for a while.',
}

interface Props {
  readonly agents: Agents
  readonly row: AgentRow
  readonly only: boolean
  readonly unsaved: { current: boolean }
  readonly ask: (question: Question) => void
  readonly chat: () => void
  readonly gone: () => void
}

export function AgentDetails({ agents, row, only, unsaved, ask, chat, gone }: Props): JSX.Element {
  const store = useStore()
  const askDelete = (): void => ask({
    title: `Delete ${row.name}?`,
    text: 'Its directory goes to the trash. What was said with it can still be read.',
    action: 'Delete',
    run: async () => {
      store.announce(`${row.name} was deleted. ${await agents.remove(row.id)}`)
      gone()
    },
  })
  return (
    <section class="agents-detail" aria-label={row.name}>
      <div class="agents-head">
        <Face row={row} />
        <div>
          <h3>{row.name}</h3>
          <p class="quiet"><code>{row.id}</code> · {row.runtime}{row.isDefault ? ' · answers when none is named' : ''}</p>
        </div>
        <span class="bar-space" />
        <button type="button" class="button" onClick={chat}>Chat</button>
        {!row.isDefault && !only && (
          <button type="button" class="icon-button" aria-label={`Delete ${row.name}`} title="Delete" onClick={askDelete}>
            <Icon name="trash" />
          </button>
        )}
      </div>
      <Looks agents={agents} row={row} />
      <Documents agents={agents} agentId={row.id} unsaved={unsaved} ask={ask} />
      <AgentSkills key={row.id} load={() => agents.skills(row.id)} flip={(skill, on) => agents.switchSkill(skill, on)} />
      <p class="quiet agents-place">{row.workspace}</p>
    </section>
  )
}

function Looks({ agents, row }: { agents: Agents; row: AgentRow }): JSX.Element {
  const store = useStore()
  const [note, setNote] = useState('')
  const [failed, setFailed] = useState(false)
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const data = new FormData(event.currentTarget as HTMLFormElement)
    const said = (name: string): string => String(data.get(name) ?? '').trim()
    const model = said('model')
    try {
      await agents.update(row.id, {
        ...(said('name') === row.name ? {} : { name: said('name') }),
        ...(said('emoji') === row.emoji ? {} : { emoji: said('emoji') }),
        ...(model === row.model ? {} : { model: model === '' ? null : model }),
      })
      setFailed(false)
      setNote('Saved')
      store.announce('Saved')
    } catch (error) {
      setFailed(true)
      setNote(sayError(error))
    }
  }
  return (
    <form class="agents-form" onSubmit={(event) => void submit(event)} onInput={() => setNote('')}>
      <label>Name<input name="name" required maxLength={200} defaultValue={row.name} autocomplete="off" /></label>
      <label class="emoji-field">Emoji<input name="emoji" maxLength={32} defaultValue={row.emoji} autocomplete="off" /></label>
      <ModelField agents={agents} value={row.model} />
      <button type="submit" class="button">Save</button>
      <p class={`form-note ${failed ? '' : 'is-good'}`} role={failed ? 'alert' : undefined}>{note}</p>
    </form>
  )
}

interface DocumentsProps {
  readonly agents: Agents
  readonly agentId: string
  readonly unsaved: { current: boolean }
  readonly ask: (question: Question) => void
}

function Documents({ agents, agentId, unsaved, ask }: DocumentsProps): JSX.Element {
  const [rows, setRows] = useState<readonly DocumentRow[]>([])
  const [name, setName] = useState('AGENTS.md')
  const [problem, setProblem] = useState('')
  const list = (): void => {
    agents.documents(agentId).then(setRows, (error: unknown) => setProblem(sayError(error)))
  }
  useEffect(list, [agentId])
  const change = (event: TargetedEvent<HTMLSelectElement>): void => {
    const next = event.currentTarget.value
    if (!unsaved.current) { setName(next); return }
    event.currentTarget.value = name
    ask({
      title: 'Discard your changes?', text: `What you wrote in ${name} has not been saved.`, action: 'Discard',
      run: async () => { unsaved.current = false; setName(next) },
    })
  }
  if (problem !== '') return <p class="form-note" role="alert">{problem}</p>
  return (
    <div class="documents">
      <div class="documents-head">
        <label for="document-name">Document</label>
        <select id="document-name" value={name} onChange={change}>
          {rows.length === 0 && <option value={name}>{name}</option>}
          {rows.map((row) => <option key={row.name} value={row.name}>{row.missing ? `${row.name} (not there)` : row.name}</option>)}
        </select>
        <span class="quiet">{HINTS[name] ?? ''}</span>
      </div>
      <Editor key={name} agents={agents} agentId={agentId} name={name} unsaved={unsaved} saved={list} />
    </div>
  )
}

interface EditorProps {
  readonly agents: Agents
  readonly agentId: string
  readonly name: string
  readonly unsaved: { current: boolean }
  readonly saved: () => void
}

function Editor({ agents, agentId, name, unsaved, saved }: EditorProps): JSX.Element {
  const store = useStore()
  const area = useRef<HTMLTextAreaElement>(null)
  const [read, setRead] = useState<DocumentText | undefined>(undefined)
  const [dirty, setDirty] = useState(false)
  const [problem, setProblem] = useState('')
  const [conflict, setConflict] = useState(false)
  const mark = (now: boolean): void => { unsaved.current = now; setDirty(now) }
  const show = (found: DocumentText): void => {
    setRead(found)
    setConflict(false)
    setProblem('')
    mark(false)
    if (area.current !== null) area.current.value = found.content
  }
  const load = (): void => {
    agents.read(agentId, name).then(show, (error: unknown) => setProblem(sayError(error)))
  }
  useEffect(load, [])
  const save = async (hash: string | undefined): Promise<void> => {
    const content = area.current?.value ?? ''
    try {
      show(await agents.write(agentId, name, content, hash))
      store.announce(`${name} saved`)
      saved()
    } catch (error) {
      setConflict(isConflict(error))
      setProblem(sayError(error))
    }
  }
  const key = (event: KeyboardEvent): void => {
    if (event.key.toLowerCase() !== 's' || !(event.ctrlKey || event.metaKey)) return
    event.preventDefault()
    if (dirty) void save(read?.hash)
  }
  return (
    <>
      <textarea
        ref={area} aria-label={name} rows={14} spellcheck={false} disabled={read === undefined}
        onInput={(event) => mark(event.currentTarget.value !== read?.content)} onKeyDown={key}
      />
      <div class="documents-foot">
        {conflict
          ? (
            <div class="problem" role="alert">
              <Icon name="alert" />
              <div><p>Somebody else has changed {name} meanwhile.</p></div>
              <button type="button" class="button" onClick={load}>Show theirs</button>
              <button type="button" class="button" onClick={() => void save(undefined)}>Keep mine</button>
            </div>
          )
          : <p class="form-note" role="alert">{problem}</p>}
        <button type="button" class="button primary" disabled={!dirty} onClick={() => void save(read?.hash)}>Save {name}</button>
      </div>
    </>
  )
}
