// The nodes, within the Devices view: what each may be used for, and what each asks for.

import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { sayError } from '../state/gateway'
import { sayState, type NodeRow } from '../state/nodes'
import { ago } from '../state/time'
import { useNow } from './clock'
import { useStore } from './context'
import { Icon } from './icons'

export function NodesSection(): JSX.Element | null {
  const { nodes } = useStore()
  const rows = nodes.rows.value
  useEffect(() => void nodes.load(), [nodes])
  if (rows.length === 0) return null
  return (
    <section aria-labelledby="nodes-title">
      <h3 id="nodes-title">Nodes</h3>
      <ul>{rows.map((one) => <Node key={one.id} row={one} />)}</ul>
    </section>
  )
}

function Node({ row }: { row: NodeRow }): JSX.Element {
  const now = useNow(10_000)
  const seen = row.connected ? 'here now' : row.lastSeen === undefined ? 'not seen yet' : `seen ${said(row.lastSeen, now.value)}`
  return (
    <li class={row.request === undefined ? 'device' : 'device is-waiting'}>
      <Icon name="node" />
      <div class="device-text">
        <p class="device-name">
          {row.name}
          {row.active && <span class="tag">in use</span>}
          {row.connected && <span class="dot dot-on" title="Connected" />}
        </p>
        <p class="quiet">{[row.about, sayState(row.state), seen].filter((text) => text !== '').join(' · ')}</p>
        {row.commands.length > 0 && <Commands label="May be used for" names={row.commands} />}
        {row.request !== undefined && <Asks row={row} request={row.request} />}
      </div>
    </li>
  )
}

function Asks({ row, request }: { row: NodeRow; request: NonNullable<NodeRow['request']> }): JSX.Element {
  const store = useStore()
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const decide = async (approve: boolean): Promise<void> => {
    setBusy(true)
    try {
      await (approve ? store.nodes.approve(request.id) : store.nodes.reject(request.id))
      store.announce(`${row.name} is ${approve ? 'approved' : 'refused'}`)
    } catch (error) {
      setProblem(sayError(error))
      void store.nodes.load()
    }
    setBusy(false)
  }
  return (
    <>
      <Commands label="Asks for" names={request.commands} />
      <p class="form-note" role="alert">{problem}</p>
      <div class="device-actions">
        <button type="button" class="button refuse" disabled={busy} aria-label={`Refuse what ${row.name} asks for`} onClick={() => void decide(false)}>Refuse</button>
        <button type="button" class="button primary" disabled={busy} aria-label={`Use ${row.name} for what it asks`} onClick={() => void decide(true)}>Approve</button>
      </div>
    </>
  )
}

function Commands({ label, names }: { label: string; names: readonly string[] }): JSX.Element {
  return (
    <p class="quiet">
      {label}: {names.length === 0 ? 'nothing yet' : names.map((name, index) => <span key={name}>{index > 0 && ', '}<code>{name}</code></span>)}
    </p>
  )
}

function said(at: number, now: number): string {
  const words = ago(at, now)
  return words === 'now' ? 'just now' : `${words} ago`
}
