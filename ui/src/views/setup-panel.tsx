// Setting the gateway up: the gateway's own questions, one at a time.
// A chunk of its own, fetched when it is first opened.

import '../styles/setup.css'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { Wizard, type Flow, type WizardState } from '../state/wizard'
import { useStore } from './context'
import { Icon } from './icons'
import { SetupStep } from './setup-step'

const TITLES: Readonly<Record<Flow, string>> = { model: 'Set up a model', channels: 'Add a channel', setup: 'Set up the gateway' }

export function SetupPanel({ flow, onClose }: { flow: Flow; onClose: () => void }): JSX.Element {
  const store = useStore()
  const wizard = useMemo(() => new Wizard(store.gateway), [store])
  const dialog = useRef<HTMLDialogElement>(null)
  const state = wizard.state.value
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    void wizard.start(flow)
    return () => {
      wizard.leave()
      if (returnTo instanceof HTMLElement && returnTo.isConnected) returnTo.focus()
      else document.getElementById('message')?.focus()
    }
  }, [wizard])
  const close = (): void => dialog.current?.close()
  return (
    <dialog ref={dialog} class="setup" aria-labelledby="setup-title" onClose={onClose}>
      <header class="setup-bar">
        <h2 id="setup-title">{TITLES[flow]}</h2>
        <button type="button" class="icon-button" aria-label="Close" title="Close" onClick={close}><Icon name="close" /></button>
      </header>
      <div class="setup-body">
        {state.kind === 'asks'
          ? <SetupStep key={state.step.id} wizard={wizard} asked={state} onCancel={close} />
          : <Outcome state={state} flow={flow} onClose={close} onAgain={() => void wizard.start(flow)} />}
      </div>
    </dialog>
  )
}

interface OutcomeProps {
  readonly state: Exclude<WizardState, { kind: 'asks' }>
  readonly flow: Flow
  readonly onClose: () => void
  readonly onAgain: () => void
}

function Outcome({ state, flow, onClose, onAgain }: OutcomeProps): JSX.Element {
  const first = useRef<HTMLButtonElement>(null)
  useEffect(() => { first.current?.focus() }, [state.kind])
  if (state.kind === 'starting') return <p class="quiet setup-wait" role="status" aria-busy="true">Asking the gateway…</p>
  if (state.kind === 'failed')
    return (
      <>
        <div class="problem" role="alert">
          <Icon name="alert" />
          <div><strong>It did not work</strong><p>{state.error}</p></div>
        </div>
        <div class="setup-foot">
          <button type="button" class="button" onClick={onClose}>Close</button>
          <button ref={first} type="button" class="button primary" onClick={onAgain}>Begin again</button>
        </div>
      </>
    )
  const isDone = state.kind === 'done'
  return (
    <>
      <div class={`setup-end ${isDone ? 'is-done' : ''}`} role="status">
        <span class="setup-seal"><Icon name={isDone ? 'check' : 'close'} /></span>
        <h3>{isDone ? 'It is written' : 'Nothing was changed'}</h3>
        <p class="quiet">{isDone ? DONE[flow] : 'Everything is as it was before.'}</p>
      </div>
      <div class="setup-foot">
        {!isDone && <button type="button" class="button" onClick={onAgain}>Begin again</button>}
        <button ref={first} type="button" class="button primary" onClick={onClose}>{isDone && flow === 'model' ? 'Start talking' : 'Close'}</button>
      </div>
    </>
  )
}

const DONE: Readonly<Record<Flow, string>> = {
  model: 'The model answers from now on.',
  channels: 'The channel is connected now. Health, in the bar, shows how it is.',
  setup: 'What can change while the gateway runs has changed; the port and the way in change with its next restart.',
}
