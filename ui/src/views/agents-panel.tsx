// The Agents view: who there is, how each shows itself, and the documents that make it what it is.
// A chunk of its own, fetched when it is first opened.

import '../styles/agents.css'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Agents, type AgentRow } from '../state/agents'
import { sayError } from '../state/gateway'
import { AgentDetails } from './agent-details'
import { Face, ModelField } from './agent-parts'
import { Confirm, type Question } from './confirm'
import { useStore } from './context'
import { Icon } from './icons'

const NEW = ''

export function AgentsPanel({ onClose }: { onClose: () => void }): JSX.Element {
  const store = useStore()
  const agents = useMemo(() => new Agents(store.gateway), [store])
  const dialog = useRef<HTMLDialogElement>(null)
  const [chosen, setChosen] = useState<string | undefined>(undefined)
  const [problem, setProblem] = useState('')
  const [question, setQuestion] = useState<Question | undefined>(undefined)
  const unsaved = useRef(false)
  const rows = agents.rows.value
  const row = rows?.find((one) => one.id === chosen)
  const load = (): void => { agents.load().then(() => setProblem(''), (error: unknown) => setProblem(sayError(error))) }

  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    void agents.loadModels()
    return () => {
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [agents])
  useEffect(load, [agents, store.configVersion.value, store.hello.value])
  useEffect(() => {
    // Where both columns are shown, one of them is never empty.
    if (chosen === undefined && rows !== undefined && matchMedia('(min-width: 821px)').matches)
      setChosen((rows.find((one) => one.isDefault) ?? rows[0])?.id)
  }, [rows, chosen])

  /** Does it at once, or asks when something would be lost. */
  const unlessUnsaved = (go: () => void): void => {
    if (!unsaved.current) { go(); return }
    setQuestion({
      title: 'Discard your changes?', text: 'What you wrote has not been saved.', action: 'Discard',
      run: async () => { unsaved.current = false; go() },
    })
  }
  const choose = (id: string | undefined): void => unlessUnsaved(() => setChosen(id))
  const close = (): void => unlessUnsaved(() => dialog.current?.close())

  return (
    <dialog
      ref={dialog} class="agents" aria-labelledby="agents-title"
      onClose={(event) => { if (event.target === dialog.current) onClose() }}
      onCancel={(event) => { if (event.target === dialog.current) { event.preventDefault(); close() } }}
    >
      <header class="agents-bar">
        {chosen !== undefined && (
          <button type="button" class="icon-button only-narrow" aria-label="All agents" onClick={() => choose(undefined)}>
            <Icon name="back" />
          </button>
        )}
        <h2 id="agents-title">Agents</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={close}><Icon name="close" /></button>
      </header>
      {problem !== '' && (
        <div class="problem" role="alert">
          <Icon name="alert" />
          <div><p>{problem}</p></div>
          <button type="button" class="button" onClick={load}>Try again</button>
        </div>
      )}
      <div class={`agents-body ${chosen === undefined ? '' : 'has-choice'}`}>
        <nav class="agents-list" aria-label="Agents">
          <ul>
            {(rows ?? []).map((one) => <Row key={one.id} row={one} current={one.id === chosen} open={choose} />)}
          </ul>
          <button type="button" class="button" aria-current={chosen === NEW} onClick={() => choose(NEW)}>
            <Icon name="plus" />
            New agent
          </button>
        </nav>
        {chosen === NEW && <NewAgent agents={agents} done={setChosen} />}
        {row !== undefined && (
          <AgentDetails
            key={row.id} agents={agents} row={row} only={rows?.length === 1} unsaved={unsaved} ask={setQuestion}
            chat={() => unlessUnsaved(() => { dialog.current?.close(); store.newSession(row.id) })}
            gone={() => { unsaved.current = false; setChosen(undefined) }}
          />
        )}
      </div>
      {question !== undefined && <Confirm question={question} onClose={() => setQuestion(undefined)} />}
    </dialog>
  )
}

function Row({ row, current, open }: { row: AgentRow; current: boolean; open: (id: string) => void }): JSX.Element {
  return (
    <li>
      <button type="button" class="agents-row" aria-current={current} onClick={() => open(row.id)}>
        <Face row={row} />
        <span class="agents-name">
          <span>{row.name}</span>
          <span class="quiet">{row.model !== '' ? row.model : row.runtime}</span>
        </span>
        {row.isDefault && <span class="tag">default</span>}
      </button>
    </li>
  )
}

function NewAgent({ agents, done }: { agents: Agents; done: (id: string) => void }): JSX.Element {
  const store = useStore()
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [])
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const data = new FormData(event.currentTarget as HTMLFormElement)
    const said = (name: string): string => String(data.get(name) ?? '').trim()
    setBusy(true)
    try {
      const id = await agents.create({ name: said('name'), emoji: said('emoji'), model: said('model') })
      store.announce(`${said('name')} is here`)
      done(id)
    } catch (error) {
      setProblem(sayError(error))
      setBusy(false)
    }
  }
  return (
    <section class="agents-detail" aria-label="New agent">
      <form class="agents-form" onSubmit={(event) => void submit(event)}>
        <label>Name<input ref={field} name="name" required maxLength={200} autocomplete="off" /></label>
        <label class="emoji-field">Emoji<input name="emoji" maxLength={32} autocomplete="off" /></label>
        <ModelField agents={agents} value="" />
        <p class="form-note" role="alert">{problem}</p>
        <button type="submit" class="button primary" disabled={busy}>{busy ? 'Adding…' : 'Add agent'}</button>
      </form>
      <p class="quiet">It gets a directory of its own with a few first documents, and answers at once.</p>
    </section>
  )
}
