// One setting: its name, what it is about, and something to change it with.

import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { shown, type Config, type ConfigField } from '../state/config'

export function Setting({ config, field }: { config: Config; field: ConfigField }): JSX.Element {
  const id = `setting-${field.path}`
  const issue = config.refusals.value.get(field.path) ?? config.issues.value.get(field.path)
  const edit = config.edits.value.get(field.path)
  const isWritten = config.written(field.path) !== undefined
  const isEdited = config.edits.value.has(field.path)
  const Control = CONTROLS[field.kind]
  return (
    <div class={`setting ${isEdited ? 'is-edited' : ''} ${issue !== undefined ? 'is-wrong' : ''}`}>
      <div class="setting-head">
        <label for={id}>{field.label}</label>
        <code>{field.path}</code>
        {isEdited || config.refusals.value.has(field.path)
          ? <button type="button" class="text-button" aria-label={`Undo the change of ${field.label}`} onClick={() => config.edit(field.path, config.written(field.path) ?? null)}>Undo</button>
          : isWritten && <button type="button" class="text-button" aria-label={`Take ${field.label} out of the file`} title="Take it out of the file: the default holds" onClick={() => config.edit(field.path, null)}>Reset</button>}
      </div>
      {field.help !== '' && <p class="setting-help" id={`${id}-help`}>{field.help}</p>}
      <Control id={id} config={config} field={field} isOut={isEdited && edit === null} />
      <p class="form-note" id={`${id}-issue`} role="alert">{issue ?? ''}</p>
    </div>
  )
}

interface ControlProps {
  readonly id: string
  readonly config: Config
  readonly field: ConfigField
  /** It is taken out of the file. */
  readonly isOut: boolean
}

const about = (id: string): string => `${id}-help ${id}-issue`

/** What is to stand there: the change, else what the file says. */
const current = (config: Config, field: ConfigField): unknown => {
  const edit = config.edits.value.get(field.path)
  return config.edits.value.has(field.path) ? (edit ?? undefined) : config.written(field.path)
}

const otherwise = (config: Config, field: ConfigField, isOut: boolean): string => {
  const value = isOut ? '' : shown(config.effective(field.path))
  return value === '' ? 'Default' : `Default: ${value}`
}

const CONTROLS: Readonly<Record<ConfigField['kind'], (props: ControlProps) => JSX.Element>> = {
  text: TextControl, number: NumberControl, boolean: BooleanControl, choice: ChoiceControl,
  list: ListControl, secret: SecretControl, json: JsonControl,
}

function TextControl({ id, config, field, isOut }: ControlProps): JSX.Element {
  return (
    <input
      id={id} type="text" autocomplete="off" spellcheck={false} aria-describedby={about(id)} value={shown(current(config, field))}
      placeholder={otherwise(config, field, isOut)}
      onInput={(event) => config.edit(field.path, event.currentTarget.value === '' ? null : event.currentTarget.value)}
    />
  )
}

/** A number, or `${NAME}` of a variable that holds one. */
function NumberControl({ id, config, field, isOut }: ControlProps): JSX.Element {
  const [text, setText] = useTyped(config, field, isOut, shown)
  const changed = (typed: string): void => {
    setText(typed)
    const plain = typed.trim()
    const number = Number(plain)
    const isNumber = Number.isFinite(number) && (!field.isWhole || Number.isInteger(number))
    config.edit(field.path, plain === '' ? null : isNumber ? number : plain)
    if (plain !== '' && !isNumber && !plain.includes('${')) config.refuse(field.path, field.isWhole ? 'A whole number is needed.' : 'A number is needed.')
  }
  return (
    <input
      id={id} type="text" inputMode={field.isWhole ? 'numeric' : 'decimal'} autocomplete="off" aria-describedby={about(id)}
      value={text} placeholder={otherwise(config, field, isOut)} onInput={(event) => changed(event.currentTarget.value)}
    />
  )
}

function Choice({ id, config, field, isOut, values }: ControlProps & { values: readonly (readonly [string, unknown])[] }): JSX.Element {
  const now = current(config, field)
  const place = values.findIndex(([, value]) => value === now)
  const isOther = now !== undefined && place < 0
  return (
    <select
      id={id} aria-describedby={about(id)} value={now === undefined ? '' : isOther ? 'other' : String(place)}
      onChange={(event) => config.edit(field.path, values[Number(event.currentTarget.value)]?.[1] ?? null)}
    >
      <option value="">{otherwise(config, field, isOut)}</option>
      {isOther && <option value="other" disabled>{shown(now)}</option>}
      {values.map(([label], index) => <option key={label} value={String(index)}>{label}</option>)}
    </select>
  )
}

function BooleanControl(props: ControlProps): JSX.Element {
  const now = current(props.config, props.field)
  // The default stands in its own option; picking nothing is not the same as picking off.
  const select = <Choice {...props} values={[['On', true], ['Off', false]]} />
  return now === undefined || typeof now === 'boolean' ? select : <TextControl {...props} />
}

function ChoiceControl(props: ControlProps): JSX.Element {
  return <Choice {...props} values={props.field.choices.map((one) => [one, one] as const)} />
}

function ListControl({ id, config, field, isOut }: ControlProps): JSX.Element {
  const now = current(config, field)
  const text = Array.isArray(now) ? now.map(String).join('\n') : shown(now)
  const changed = (typed: string): void => config.edit(field.path, typed === '' ? null : typed.split('\n'))
  return (
    <textarea
      id={id} rows={Math.min(8, Math.max(2, text.split('\n').length))} spellcheck={false} aria-describedby={about(id)} value={text}
      placeholder={`${otherwise(config, field, isOut)}\nOne on each line`} onInput={(event) => changed(event.currentTarget.value)}
    />
  )
}

function SecretControl({ id, config, field, isOut }: ControlProps): JSX.Element {
  const typed = config.edits.value.get(field.path)
  const isSet = !isOut && config.effective(field.path) !== undefined
  return (
    <input
      id={id} type="password" autocomplete="new-password" spellcheck={false} aria-describedby={about(id)}
      value={typeof typed === 'string' ? typed : ''} placeholder={isSet ? 'Set. It is not shown; type to replace it' : 'Not set. A value, or ${NAME} of a variable'}
      onInput={(event) => config.edit(field.path, event.currentTarget.value === '' ? (config.written(field.path) ?? null) : event.currentTarget.value)}
    />
  )
}

const written = (value: unknown): string => (value === undefined ? '' : JSON.stringify(value, null, 2))

/** What is being typed, which need not be a value yet; anew when a change is undone or taken out. */
function useTyped(
  config: Config,
  field: ConfigField,
  isOut: boolean,
  write: (value: unknown) => string,
): [string, (text: string) => void] {
  const [text, setText] = useState(() => write(current(config, field)))
  const isTouched = config.edits.value.has(field.path) || config.refusals.value.has(field.path)
  const stands = JSON.stringify(config.written(field.path))
  useEffect(() => {
    if (!isTouched || isOut) setText(write(current(config, field)))
  }, [isTouched, isOut, stands])
  return [text, setText]
}

/** Anything that is no simple value, as JSON. */
function JsonControl({ id, config, field, isOut }: ControlProps): JSX.Element {
  const [text, setText] = useTyped(config, field, isOut, written)
  const changed = (typed: string): void => {
    setText(typed)
    try {
      const value: unknown = typed.trim() === '' ? null : JSON.parse(typed)
      config.edit(field.path, value)
    } catch (error) {
      config.refuse(field.path, `This is not JSON yet: ${error instanceof Error ? error.message : ''}`)
    }
  }
  return (
    <textarea
      id={id} class="is-code" rows={Math.min(16, Math.max(2, text.split('\n').length))} spellcheck={false} aria-describedby={about(id)} value={text}
      placeholder={otherwise(config, field, isOut)} onInput={(event) => changed(event.currentTarget.value)}
    />
  )
}
