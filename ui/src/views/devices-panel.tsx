// The Devices view: who asks to be let in, who is paired, and bringing one in by a code.
// A chunk of its own, fetched when it is first opened.

import '../styles/devices.css'
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { sayScopes, type DeviceRequest, type DeviceRole, type DeviceRow } from '../state/devices'
import { sayError } from '../state/gateway'
import { ago } from '../state/time'
import { useNow } from './clock'
import { Confirm, type Question } from './confirm'
import { useStore } from './context'
import { Icon } from './icons'
import { NodesSection } from './nodes-section'
import { PairDevice } from './pair-device'

type Ask = (question: Question) => void

export function DevicesPanel({ onClose }: { onClose: () => void }): JSX.Element {
  const { devices } = useStore()
  const dialog = useRef<HTMLDialogElement>(null)
  const [question, setQuestion] = useState<Question | undefined>(undefined)
  const [pairing, setPairing] = useState(false)
  const pending = devices.pending.value ?? []
  const paired = devices.paired.value
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    void devices.load()
    return () => {
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [devices])
  return (
    <dialog ref={dialog} class="devices" aria-labelledby="devices-title" onClose={(event) => { if (event.target === dialog.current) onClose() }}>
      <header class="devices-bar">
        <h2 id="devices-title">Devices</h2>
        {!pairing && (
          <button type="button" class="button primary" onClick={() => setPairing(true)}>
            <Icon name="plus" />
            Pair a device
          </button>
        )}
        <button type="button" class="icon-button" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <div class="devices-body">
        {pairing && <PairDevice onClose={() => setPairing(false)} />}
        {pending.length > 0 && (
          <section aria-labelledby="devices-waiting">
            <h3 id="devices-waiting">Waiting for you</h3>
            <ul>{pending.map((one) => <Waiting key={one.requestId} request={one} />)}</ul>
          </section>
        )}
        <NodesSection />
        <section aria-labelledby="devices-paired">
          <h3 id="devices-paired">Paired</h3>
          {paired.length === 0 && <p class="quiet">No device is paired.</p>}
          <ul>{paired.map((one) => <Paired key={one.id} row={one} ask={setQuestion} />)}</ul>
        </section>
      </div>
      {question !== undefined && <Confirm question={question} onClose={() => setQuestion(undefined)} />}
    </dialog>
  )
}

function Waiting({ request }: { request: DeviceRequest }): JSX.Element {
  const store = useStore()
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const now = useNow(10_000)
  const decide = async (approve: boolean): Promise<void> => {
    setBusy(true)
    try {
      await (approve ? store.devices.approve(request.requestId) : store.devices.reject(request.requestId))
      store.announce(`${request.name} is ${approve ? 'let in' : 'refused'}`)
    } catch (error) {
      setProblem(sayError(error))
      setBusy(false)
      void store.devices.load()
    }
  }
  return (
    <li class="device is-waiting">
      <Icon name={request.role === 'node' ? 'node' : 'devices'} />
      <div class="device-text">
        <p class="device-name">{request.name}</p>
        <p class="quiet">
          {request.isRepair ? 'asks for more' : 'asks to be let in'} as {request.role}: {sayScopes(request.role, request.scopes)}
        </p>
        <p class="quiet">
          <code>{request.deviceId.slice(0, 12)}</code>
          {request.from !== '' && ` from ${request.from}`}, {said(request.at, now.value)}
        </p>
        <p class="form-note" role="alert">{problem}</p>
      </div>
      <div class="device-actions">
        <button type="button" class="button refuse" disabled={busy} aria-label={`Reject ${request.name}`} onClick={() => void decide(false)}>Reject</button>
        <button type="button" class="button primary" disabled={busy} aria-label={`Approve ${request.name}`} onClick={() => void decide(true)}>Approve</button>
      </div>
    </li>
  )
}

function Paired({ row, ask }: { row: DeviceRow; ask: Ask }): JSX.Element {
  const store = useStore()
  const now = useNow(10_000)
  const [renaming, setRenaming] = useState(false)
  const seen = row.connected ? 'here now' : row.lastSeen === undefined ? 'not seen yet' : `seen ${said(row.lastSeen, now.value)}`
  const remove = (): void => ask({
    title: `Remove ${row.name}?`,
    text: 'It is disconnected at once and has to be paired again to come back.',
    action: 'Remove',
    run: async () => {
      await store.devices.remove(row.id)
      store.announce(`${row.name} is removed`)
    },
  })
  return (
    <li class="device">
      <Icon name={row.roles.some((one) => one.role === 'node') ? 'node' : 'devices'} />
      <div class="device-text">
        {renaming ? <Rename row={row} done={() => setRenaming(false)} /> : (
          <p class="device-name">
            {row.name}
            {row.id === store.deviceId && <span class="tag">this browser</span>}
            {row.connected && <span class="dot dot-on" title="Connected" />}
          </p>
        )}
        <p class="quiet">{[row.about, seen].filter((text) => text !== '').join(' · ')}</p>
        <ul class="device-roles">
          {row.roles.map((one) => <Role key={one.role} row={row} held={one} ask={ask} />)}
          {row.roles.length === 0 && <li class="quiet">May do nothing: all it had was revoked.</li>}
        </ul>
      </div>
      <div class="device-actions">
        {!renaming && <button type="button" class="button" aria-label={`Rename ${row.name}`} onClick={() => setRenaming(true)}>Rename</button>}
        <button type="button" class="icon-button" aria-label={`Remove ${row.name}`} title="Remove" onClick={remove}>
          <Icon name="trash" />
        </button>
      </div>
    </li>
  )
}

function Role({ row, held, ask }: { row: DeviceRow; held: DeviceRole; ask: Ask }): JSX.Element {
  const store = useStore()
  const rotate = (): void => ask({
    title: `A new token for ${row.name}?`,
    text: 'The present one works no more. It gets the new one when it proves itself with the gateway\u2019s secret.',
    action: 'New token',
    run: async () => {
      await store.devices.rotate(row.id, held.role)
      store.announce(`${row.name} has a new token`)
    },
  })
  const revoke = (): void => ask({
    title: `Revoke ${row.name} as ${held.role}?`,
    text: 'It is disconnected at once and may do nothing in this role until it is approved again.',
    action: 'Revoke',
    run: async () => {
      await store.devices.revoke(row.id, held.role)
      store.announce(`${row.name} is no ${held.role} any more`)
    },
  })
  return (
    <li>
      <span class="tag">{held.role}</span>
      {held.role !== 'node' && <span class="quiet">{sayScopes(held.role, held.scopes)}</span>}
      <button type="button" class="text-button" aria-label={`New token for ${row.name} as ${held.role}`} onClick={rotate}>New token</button>
      <button type="button" class="text-button" aria-label={`Revoke ${row.name} as ${held.role}`} onClick={revoke}>Revoke</button>
    </li>
  )
}

function Rename({ row, done }: { row: DeviceRow; done: () => void }): JSX.Element {
  const store = useStore()
  const [problem, setProblem] = useState('')
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.select(), [])
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const name = field.current?.value.trim() ?? ''
    if (name === '' || name === row.name) { done(); return }
    try {
      await store.devices.rename(row.id, name)
      store.announce(`${row.name} is ${name}`)
      done()
    } catch (error) {
      setProblem(sayError(error))
    }
  }
  /** Escape ends the renaming, not the whole view. */
  const key = (event: KeyboardEvent): void => {
    if (event.key !== 'Escape') return
    event.preventDefault()
    event.stopPropagation()
    done()
  }
  return (
    <form class="device-rename" onSubmit={(event) => void submit(event)}>
      <input ref={field} aria-label="Name" defaultValue={row.name} maxLength={64} required autocomplete="off" onKeyDown={key} />
      <button type="submit" class="button primary">Save</button>
      <p class="form-note" role="alert">{problem}</p>
    </form>
  )
}

function said(at: number, now: number): string {
  const words = ago(at, now)
  return words === 'now' ? 'just now' : `${words} ago`
}
