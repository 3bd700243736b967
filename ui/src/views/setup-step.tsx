// One question of a wizard, whatever kind it is of.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Wizard, WizardOption, WizardState, WizardStep } from '../state/wizard'
import { Icon } from './icons'

interface StepProps {
  readonly wizard: Wizard
  readonly asked: Extract<WizardState, { kind: 'asks' }>
  readonly onCancel: () => void
}

interface FieldProps {
  readonly step: WizardStep
  readonly value: unknown
  readonly onChange: (value: unknown) => void
  readonly isWrong: boolean
}

/** Only these have something to fill in; the others are read and gone on from. */
const FIELDS: Readonly<Record<string, (props: FieldProps) => JSX.Element>> = {
  select: Select, multiselect: MultiSelect, text: Text,
}

export function SetupStep({ wizard, asked: { step, error, canGoBack }, onCancel }: StepProps): JSX.Element {
  const form = useRef<HTMLFormElement>(null)
  const [value, setValue] = useState<unknown>(() => wizard.earlier(step))
  const busy = wizard.busy.value
  const Field = FIELDS[step.type]
  useEffect(() => {
    const field = form.current?.querySelector<HTMLElement>('input:checked, input, .setup-foot .primary')
    field?.focus()
    if (field instanceof HTMLInputElement && field.type === 'text') field.select()
  }, [])
  useEffect(() => {
    if (error !== '' && !busy) form.current?.querySelector<HTMLElement>('input:checked, input')?.focus()
  }, [error, busy])
  const submit = (event: Event): void => {
    event.preventDefault()
    if (!busy && step.type !== 'progress') void wizard.answer(step, answerOf(step, value))
  }
  return (
    <form ref={form} class="setup-step" onSubmit={submit} aria-busy={busy} autocomplete="off">
      <h3 id="setup-question">{step.title}</h3>
      {step.message !== '' && <p class="setup-message" id="setup-message">{step.message}</p>}
      <Outside step={step} />
      {Field !== undefined && <Field step={step} value={value} onChange={setValue} isWrong={error !== ''} />}
      {step.type === 'progress' && <p class="quiet" role="status">One moment…</p>}
      <p class="form-note" id="setup-error" role="alert">{error}</p>
      <div class="setup-foot">
        {canGoBack
          ? <button type="button" class="button" disabled={busy} onClick={() => void wizard.back()}><Icon name="back" />Back</button>
          : <button type="button" class="button" onClick={onCancel}>Cancel</button>}
        <span class="setup-space" role="status">{busy ? 'One moment…' : ''}</span>
        {step.type === 'confirm'
          ? (
            <>
              <button type="button" class="button" disabled={busy} onClick={() => void wizard.answer(step, false)}>No</button>
              <button type="button" class="button primary" disabled={busy} onClick={() => void wizard.answer(step, true)}>Yes</button>
            </>
          )
          : step.type !== 'progress' && <button type="submit" class="button primary" disabled={busy}>Next</button>}
      </div>
    </form>
  )
}

function answerOf(step: WizardStep, value: unknown): unknown {
  if (step.type === 'text') return typeof value === 'string' ? value : ''
  return step.type === 'select' || step.type === 'multiselect' ? value : undefined
}

/** What has to be done elsewhere: an address, a code to enter there. */
const Outside = ({ step }: { step: WizardStep }): JSX.Element | null =>
  step.code === '' && step.externalUrl === '' ? null : (
    <p class="setup-outside">
      {step.code !== '' && <code>{step.code}</code>}
      {step.externalUrl !== '' && <a href={step.externalUrl} target="_blank" rel="noreferrer">{step.externalUrl}</a>}
    </p>
  )

function Options({ step, type, isChosen, onPick }: {
  step: WizardStep
  type: 'radio' | 'checkbox'
  isChosen: (option: WizardOption) => boolean
  onPick: (option: WizardOption) => void
}): JSX.Element {
  return (
    <div class="setup-options" role={type === 'radio' ? 'radiogroup' : 'group'} aria-labelledby="setup-question" aria-describedby="setup-message setup-error">
      {step.options.map((option, index) => (
        <label key={index} class="setup-option">
          <input type={type} name="setup-option" checked={isChosen(option)} onChange={() => onPick(option)} />
          <span>{option.label}{option.hint !== '' && <small>{option.hint}</small>}</span>
        </label>
      ))}
    </div>
  )
}

function Select({ step, value, onChange }: FieldProps): JSX.Element {
  return <Options step={step} type="radio" isChosen={(one) => one.value === value} onPick={(one) => onChange(one.value)} />
}

function MultiSelect({ step, value, onChange }: FieldProps): JSX.Element {
  const chosen: readonly unknown[] = Array.isArray(value) ? value : []
  const pick = (one: WizardOption): void =>
    onChange(chosen.includes(one.value) ? chosen.filter((other) => other !== one.value) : [...chosen, one.value])
  return <Options step={step} type="checkbox" isChosen={(one) => chosen.includes(one.value)} onPick={pick} />
}

function Text({ step, value, onChange, isWrong }: FieldProps): JSX.Element {
  const [isShown, setShown] = useState(!step.sensitive)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => { if (field.current !== null) field.current.type = isShown ? 'text' : 'password' }, [isShown])
  return (
    <div class="setup-field">
      <input
        ref={field} type="password" value={typeof value === 'string' ? value : ''} placeholder={step.placeholder}
        autocomplete={step.sensitive ? 'new-password' : 'off'} autocapitalize="off" spellcheck={false}
        aria-labelledby="setup-question" aria-describedby="setup-message setup-error" aria-invalid={isWrong}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
      {step.sensitive && (
        <button type="button" class="text-button" aria-pressed={isShown} onClick={() => setShown(!isShown)}>{isShown ? 'Hide' : 'Show'}</button>
      )}
    </div>
  )
}
