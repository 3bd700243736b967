// The Jobs view: what runs on a schedule, on or off, now, and how it went.
// A chunk of its own, fetched when it is first opened.

import '../styles/jobs.css'
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { sayError } from '../state/gateway'
import type { JobRow, JobRun } from '../state/jobs'
import { ago, duration, fullTime } from '../state/time'
import { useNow } from './clock'
import { useStore } from './context'
import { Icon } from './icons'

export function JobsPanel({ onClose }: { onClose: () => void }): JSX.Element {
  const { jobs } = useStore()
  const dialog = useRef<HTMLDialogElement>(null)
  const rows = jobs.rows.value
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    void jobs.open()
    return () => {
      jobs.close()
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [jobs])
  return (
    <dialog ref={dialog} class="jobs" aria-labelledby="jobs-title" onClose={onClose}>
      <header class="jobs-bar">
        <h2 id="jobs-title">Jobs</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <div class="jobs-body">
        {rows === undefined && <p class="quiet" aria-busy="true">Reading…</p>}
        {rows?.length === 0 && (
          <p class="quiet">Nothing is scheduled. Ask an agent for it, or: <code>portico cron add --help</code></p>
        )}
        <ul>{(rows ?? []).map((row) => <Job key={row.id} row={row} />)}</ul>
      </div>
    </dialog>
  )
}

function Job({ row }: { row: JobRow }): JSX.Element {
  const store = useStore()
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const isChosen = store.jobs.chosen.value === row.id
  const attempt = async (work: () => Promise<string>): Promise<void> => {
    setBusy(true)
    try {
      setProblem(await work())
    } catch (error) {
      setProblem(sayError(error))
    }
    setBusy(false)
  }
  const toggle = (): Promise<void> => attempt(async () => {
    await store.jobs.enable(row.id, !row.enabled)
    store.announce(`${row.name} is ${row.enabled ? 'off' : 'on'}`)
    return ''
  })
  const run = (): Promise<void> => attempt(async () => {
    const reason = await store.jobs.run(row.id)
    if (reason === '') store.announce(`${row.name} runs`)
    return reason === '' ? '' : `It does not run: ${reason}.`
  })
  return (
    <li class={`job ${row.enabled ? '' : 'is-off'}`}>
      <div class="job-line">
        <div class="job-text">
          <p class="job-name">{row.name}{row.running && <span class="tag">running</span>}</p>
          <p class="quiet"><code>{row.schedule}</code>{row.agentId !== '' && ` · ${row.agentId}`}</p>
          <Times row={row} />
          <p class="form-note" role="alert">{problem}</p>
        </div>
        <div class="job-actions">
          <button
            type="button" class="switch" role="switch" aria-checked={row.enabled} disabled={busy}
            aria-label={`${row.name} is on`} onClick={() => void toggle()}
          ><span aria-hidden="true" /></button>
          <button type="button" class="button" disabled={busy || row.running} aria-label={`Run ${row.name} now`} onClick={() => void run()}>Run now</button>
          <button
            type="button" class="icon-button" aria-label={`History of ${row.name}`} aria-expanded={isChosen}
            onClick={() => void store.jobs.choose(isChosen ? '' : row.id)}
          ><Icon name="chevron" /></button>
        </div>
      </div>
      {isChosen && <History runs={store.jobs.runs.value} name={row.name} />}
    </li>
  )
}

function Times({ row }: { row: JobRow }): JSX.Element {
  const now = useNow(10_000)
  const next = row.enabled && row.nextAt !== undefined ? `next in ${duration(row.nextAt - now.value)}` : ''
  const last = row.lastAt === undefined ? 'has not run yet' : `last ${said(row.lastAt, now.value)}`
  return (
    <p class="quiet">
      {[next, last].filter((text) => text !== '').join(' · ')}
      {row.lastStatus !== '' && <span class={`job-status is-${row.lastStatus}`}>{row.lastStatus}</span>}
      {row.lastStatus === 'error' && row.lastError !== '' && <span class="job-error">{row.lastError}</span>}
    </p>
  )
}

function History({ runs, name }: { runs: readonly JobRun[] | undefined; name: string }): JSX.Element {
  const now = useNow(10_000)
  if (runs === undefined) return <p class="quiet" aria-busy="true">Reading…</p>
  if (runs.length === 0) return <p class="quiet">No run has ended yet.</p>
  return (
    <ol class="job-runs" aria-label={`Runs of ${name}`}>
      {runs.map((run) => (
        <li key={run.id}>
          <span class={`job-status is-${run.status}`}>{run.status}</span>
          <time dateTime={new Date(run.at).toISOString()} title={fullTime(run.at)}>{said(run.at, now.value)}</time>
          {run.took !== undefined && <span class="quiet">took {duration(run.took)}</span>}
          {run.text !== '' && <span class="job-said">{run.text}</span>}
        </li>
      ))}
    </ol>
  )
}

function said(at: number, now: number): string {
  const words = ago(at, now)
  return words === 'now' ? 'just now' : `${words} ago`
}
