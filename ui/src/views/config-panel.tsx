// The Configuration view: every setting of the gateway, by section, with what a change would do.
// A chunk of its own, fetched when it is first opened.

import '../styles/config.css'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Config, matches, type ConfigField, type ConfigSection } from '../state/config'
import { Setting } from './config-field'
import { useStore } from './context'
import { Icon } from './icons'

const MOST_FOUND = 60

export function ConfigPanel({ onClose }: { onClose: () => void }): JSX.Element {
  const store = useStore()
  const config = useMemo(() => new Config(store.gateway), [store])
  const dialog = useRef<HTMLDialogElement>(null)
  const [chosen, setChosen] = useState('')
  const [wanted, setWanted] = useState('')
  const sections = config.sections.value
  const section = sections?.find((one) => one.name === chosen)
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    return () => {
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [config])
  const hello = store.hello.value
  useEffect(() => { if (hello !== undefined) void config.connected() }, [hello])
  const wrong = config.issues.value
  useEffect(() => {
    if (wrong.size > 0) dialog.current?.querySelector('.setting.is-wrong')?.scrollIntoView({ block: 'center' })
  }, [wrong])
  const isNarrowChoice = chosen !== '' || wanted !== ''
  const back = (): void => {
    setChosen('')
    setWanted('')
  }
  return (
    <dialog ref={dialog} class="config" aria-labelledby="config-title" onClose={onClose}>
      <header class="config-bar">
        {isNarrowChoice && <button type="button" class="icon-button only-narrow" aria-label="All sections" onClick={back}><Icon name="back" /></button>}
        <h2 id="config-title">Configuration</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <div class={`config-body ${isNarrowChoice ? 'has-choice' : ''}`}>
        <nav class="config-list" aria-label="Sections">
          <input
            class="search" type="search" placeholder="Find a setting" aria-label="Find a setting" value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
          <ul>
            {(sections ?? []).map((one) => (
              <li key={one.name}>
                <button
                  type="button" aria-current={wanted === '' && one.name === chosen ? 'true' : undefined}
                  onClick={() => { setWanted(''); setChosen(one.name) }}
                >{one.label}<Marks config={config} section={one} /></button>
              </li>
            ))}
          </ul>
        </nav>
        <div class="config-detail">
          {sections === undefined
            ? <p class="quiet" aria-busy={config.busy.value}>{config.busy.value ? 'Reading…' : ''}</p>
            : wanted.trim() !== ''
              ? <Found config={config} sections={sections} wanted={wanted.trim()} />
              : section === undefined
                ? <p class="quiet config-hint">Choose a section, or look for a setting. What the file does not say has its default.</p>
                : <Section config={config} section={section} />}
        </div>
      </div>
      <Foot config={config} />
    </dialog>
  )
}

/** How many of a section are changed here. */
function Marks({ config, section }: { config: Config; section: ConfigSection }): JSX.Element | null {
  const count = section.fields.filter((field) => config.edits.value.has(field.path)).length
  if (count === 0) return null
  return <span class="config-mark" aria-label={`, ${count} changed`}>{count}</span>
}

function Section({ config, section }: { config: Config; section: ConfigSection }): JSX.Element {
  return (
    <section class="config-section" aria-labelledby="config-section" key={section.name}>
      <h3 id="config-section">{section.label}</h3>
      {section.help !== '' && <p class="quiet">{section.help}</p>}
      <Fields config={config} fields={section.fields} />
    </section>
  )
}

/** In their order; a heading wherever another group begins. */
function Fields({ config, fields }: { config: Config; fields: readonly ConfigField[] }): JSX.Element {
  const simple = fields.filter((field) => field.group === '')
  const grouped = fields.filter((field) => field.group !== '')
  return (
    <>
      {[...simple, ...grouped].map((field, index, all) => (
        <div key={field.path}>
          {field.group !== (all[index - 1]?.group ?? '') && <h4>{field.group}</h4>}
          <Setting config={config} field={field} />
        </div>
      ))}
    </>
  )
}

function Found({ config, sections, wanted }: { config: Config; sections: readonly ConfigSection[]; wanted: string }): JSX.Element {
  const found = sections.flatMap((section) => section.fields).filter((field) => matches(field, wanted))
  return (
    <section class="config-section" aria-label={`Settings with “${wanted}”`}>
      <p class="quiet" role="status">{found.length === 0 ? 'Nothing found.' : found.length === 1 ? '1 setting' : `${found.length} settings`}</p>
      {found.slice(0, MOST_FOUND).map((field) => <Setting key={field.path} config={config} field={field} />)}
      {found.length > MOST_FOUND && <p class="quiet">Only the first {MOST_FOUND} are shown.</p>}
    </section>
  )
}

const ACTIONS: Readonly<Record<string, string>> = {
  hot: 'The gateway takes it over while it runs.',
  restart: 'The gateway restarts, by itself and without a gap.',
  none: 'Nothing changes for the gateway that runs.',
  'hot, the rest at the next start': 'Part of it is taken over now, the rest with the next start.',
  'none until the next start': 'It holds from the next start.',
}

function Foot({ config }: { config: Config }): JSX.Element | null {
  const store = useStore()
  const { value: plan } = config.plan
  const count = config.changed.value
  const problem = config.problem.value
  const isWrong = config.refusals.value.size > 0
  if (count === 0 && problem === '') return null
  const save = async (): Promise<void> => {
    if (await config.save()) store.announce('The configuration is written')
  }
  return (
    <footer class="config-foot">
      {problem !== '' && <div class="problem" role="alert"><Icon name="alert" /><div>{problem}</div></div>}
      {plan !== undefined && (
        <div class="config-plan" role="status">
          <p>{ACTIONS[plan.action] ?? plan.action}</p>
          <ul>
            {plan.changes.map((change) => (
              <li key={change.path}><code>{change.path}</code>{change.effect === 'restart' && <span class="tag">restart</span>}</li>
            ))}
          </ul>
        </div>
      )}
      {count > 0 && (
        <div class="config-actions">
          <span role="status">{count === 1 ? '1 change' : `${count} changes`}</span>
          <button type="button" class="button" disabled={config.busy.value} onClick={() => config.discard()}>Discard</button>
          {plan === undefined
            ? <button type="button" class="button primary" disabled={config.busy.value || isWrong} onClick={() => void config.review()}>{config.busy.value ? 'One moment…' : 'Review'}</button>
            : <button type="button" class="button primary" disabled={config.busy.value} onClick={() => void save()}>{config.busy.value ? 'One moment…' : 'Save'}</button>}
        </div>
      )}
    </footer>
  )
}
