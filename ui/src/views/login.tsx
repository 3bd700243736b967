// The door: one field, one checkbox, and an honest sentence when it does not open.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ConnectionState } from '../protocol/client'
import { describeRefusal, isMissingCredential, type Refusal } from '../protocol/errors'
import { useNow } from './clock'
import { useStore } from './context'
import { Icon, Mark } from './icons'

const place = (): string => {
  const base = new URL('./', document.baseURI)
  return base.host + base.pathname.replace(/\/$/, '')
}

function problemOf(state: ConnectionState, asked: boolean): Refusal | undefined {
  if (state.phase === 'refused')
    return asked && isMissingCredential(state.error) ? undefined : describeRefusal(state.error)
  if (state.phase !== 'waiting') return undefined
  if (state.reason !== undefined) return describeRefusal(state.reason)
  return {
    title: 'The gateway cannot be reached',
    text: `Nothing answers at ${place()}. Is it running? This page keeps trying.`,
  }
}

export function Login(): JSX.Element {
  const store = useStore()
  const state = store.connection.value
  const field = useRef<HTMLInputElement>(null)
  const [visible, setVisible] = useState(false)
  const problem = problemOf(state, store.asked.value)
  const busy = state.phase === 'connecting'
  useEffect(() => field.current?.focus(), [state.phase === 'refused'])
  useEffect(() => {
    if (field.current !== null) field.current.type = visible ? 'text' : 'password'
  }, [visible])
  const submit = (event: SubmitEvent): void => {
    event.preventDefault()
    const data = new FormData(event.currentTarget as HTMLFormElement)
    const token = String(data.get('token') ?? '').trim()
    if (token === '') field.current?.focus()
    else store.logIn(token, data.get('remember') === 'on')
  }
  return (
    <main class="door">
      <form class="door-card" onSubmit={submit} aria-labelledby="door-title">
        <Mark />
        <h1 id="door-title">Portico</h1>
        <p class="door-place">{place()}</p>
        <Problem problem={problem} />
        <label for="token">Gateway token</label>
        <div class="field">
          <input
            ref={field} id="token" name="token" type="password" required
            autocomplete="current-password" autocapitalize="off" spellcheck={false}
            aria-invalid={problem !== undefined && state.phase === 'refused'}
            aria-describedby={problem === undefined ? 'token-help' : 'door-problem token-help'}
          />
          <button type="button" class="text-button" aria-pressed={visible} onClick={() => setVisible(!visible)}>
            {visible ? 'Hide' : 'Show'}
          </button>
        </div>
        <label class="check">
          <input type="checkbox" name="remember" />
          <span>Remember on this device</span>
        </label>
        <button type="submit" class="button primary" disabled={busy}>
          {busy ? 'Connecting…' : 'Log in'}
        </button>
        <p class="door-help" id="token-help">
          The link that <code>portico run</code> prints logs you in by itself. The token is{' '}
          <code>gateway.auth.token</code> in the config.
        </p>
      </form>
    </main>
  )
}

function Problem({ problem }: { problem: Refusal | undefined }): JSX.Element {
  return (
    <div role="alert" id="door-problem">
      {problem !== undefined && (
        <div class="problem">
          <Icon name="alert" />
          <div>
            <strong>{problem.title}</strong>
            <p>{problem.text}</p>
            {problem.requestId !== undefined && <p>Request <code>{problem.requestId}</code></p>}
            <RetryLine />
          </div>
        </div>
      )}
    </div>
  )
}

function RetryLine(): JSX.Element | null {
  const store = useStore()
  const now = useNow(500)
  const state = store.connection.value
  if (state.phase !== 'waiting') return null
  const seconds = Math.max(1, Math.ceil((state.retryAt - now.value) / 1000))
  return (
    <p class="retry-line">
      <span aria-hidden="true">Next try in {seconds} s. </span>
      <button type="button" class="text-button" onClick={() => store.retryNow()}>Try now</button>
    </p>
  )
}
