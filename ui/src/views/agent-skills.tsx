// The skills of one agent: what each is for, whether it can be used, and a switch.

import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { sayError } from '../state/gateway'
import type { SkillRow, Standing } from '../state/skills'
import { useStore } from './context'

const SAID: Readonly<Record<Standing, string>> = {
  ready: '', off: '', lacking: 'lacks something', barred: 'not allowed here',
}

interface Props {
  readonly load: () => Promise<readonly SkillRow[]>
  readonly flip: (key: string, on: boolean) => Promise<void>
}

export function AgentSkills({ load, flip }: Props): JSX.Element | null {
  const store = useStore()
  const [rows, setRows] = useState<readonly SkillRow[] | undefined>(undefined)
  const [problem, setProblem] = useState('')
  // What a switch was set to, until the gateway has said what is: it does not jump back meanwhile.
  const [wanted, setWanted] = useState<ReadonlyMap<string, boolean>>(new Map())
  const read = (): Promise<void> =>
    load().then(setRows, (error: unknown) => {
      setRows((now) => now ?? [])
      setProblem(sayError(error))
    })
  useEffect(() => void read(), [])
  const change = async (row: SkillRow): Promise<void> => {
    const on = row.standing === 'off'
    setWanted((now) => new Map(now).set(row.key, on))
    try {
      await flip(row.key, on)
      setProblem('')
      store.announce(`${row.name} is ${on ? 'on' : 'off'}`)
    } catch (error) {
      setProblem(sayError(error))
    }
    await read()
    setWanted((now) => new Map([...now].filter(([key]) => key !== row.key)))
  }
  if (rows?.length === 0 && problem === '') return null
  const ready = rows?.filter((row) => row.standing === 'ready').length
  return (
    <details class="skills">
      <summary>
        Skills <span class="quiet">{rows === undefined ? 'Reading…' : `${ready} of ${rows.length} can be used`}</span>
      </summary>
      {problem !== '' && <p class="form-note" role="alert">{problem}</p>}
      <ul>
        {rows?.map((row) => (
          <li key={row.key}>
            <label>
              <input type="checkbox" checked={wanted.get(row.key) ?? row.standing !== 'off'} onChange={() => void change(row)} />
              <span>
                <b>{row.emoji} {row.name}</b> {SAID[row.standing] !== '' && <span class="tag">{SAID[row.standing]}</span>}
                <span class="quiet">{row.description}</span>
                {row.standing === 'lacking' && <span class="quiet">Missing: {row.missing}</span>}
              </span>
            </label>
            {row.standing === 'lacking' && row.commands.map((command) => <code key={command}>{command}</code>)}
          </li>
        ))}
      </ul>
      <p class="quiet">A switch counts for every agent.</p>
    </details>
  )
}
