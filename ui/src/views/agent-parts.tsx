// Small pieces of the Agents view.

import type { JSX } from 'preact'
import type { AgentRow, Agents } from '../state/agents'

export const Face = ({ row }: { row: AgentRow }): JSX.Element => (
  <span class="face" aria-hidden="true">{row.emoji !== '' ? row.emoji : [...row.name][0]?.toUpperCase()}</span>
)

export function ModelField({ agents, value }: { agents: Agents; value: string }): JSX.Element {
  return (
    <label>
      Model
      <input name="model" list="agents-models" defaultValue={value} placeholder="As for all agents" autocomplete="off" autocapitalize="off" spellcheck={false} />
      <datalist id="agents-models">{agents.models.value.map((name) => <option key={name} value={name} />)}</datalist>
    </label>
  )
}
