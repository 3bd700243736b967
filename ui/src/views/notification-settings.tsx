// The switch of notifications, what is told, and what stands in the way.

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { DETAILS, TOPICS, type Detail, type NotificationState, type Topic } from '../state/notifications'
import { sayError } from '../state/gateway'
import { useStore } from './context'
import { Icon } from './icons'

const TOPIC_NAMES: Readonly<Record<Topic, string>> = {
  agentFinished: 'New answers',
  approvalRequested: 'Approvals that wait',
  agentQuestion: 'Questions of agents',
  scheduledTaskFailed: 'Jobs that have failed',
}
const DETAIL_NAMES: Readonly<Record<Detail, string>> = {
  private: 'Only that there is something',
  identified: 'From whom it is',
  detailed: 'The beginning of the text, too',
}

const IN_THE_WAY: Readonly<Record<'insecure' | 'unsupported' | 'blocked', string>> = {
  insecure: 'Browsers allow this only where the connection is encrypted: open the page by https, or on the machine of the gateway itself at localhost.',
  unsupported: 'This browser has no notifications. On an iPhone or iPad, add the page to the home screen first, and open it from there.',
  blocked: 'This browser blocks them for this page. Allow notifications beside the address, then load the page again.',
}

function about(state: NotificationState): string {
  if (state.kind === 'on')
    return state.way === 'push' ? 'This browser is told, also while the page is closed.' : 'This browser is told as long as the page is open in it.'
  if (state.kind === 'working') return 'Asking the browser…'
  if (state.kind === 'off') return 'Be told when an agent has answered or waits for you, and you are not looking.'
  return IN_THE_WAY[state.kind]
}

export function NotificationSettings(): JSX.Element {
  const store = useStore()
  const { notifications } = store
  const state = notifications.state.value
  const isOn = state.kind === 'on'
  const change = async (): Promise<void> => {
    try {
      await (isOn ? notifications.turnOff() : notifications.turnOn())
      const now = notifications.state.value.kind
      if (now === 'on' || now === 'off') store.announce(`Notifications are ${now}`)
    } catch (error) {
      notifications.problem.value = sayError(error)
    }
  }
  return (
    <section class="settings-part" aria-labelledby="notifications-title">
      <div class="settings-line">
        <h3 id="notifications-title">Notifications</h3>
        <button
          type="button" class="switch" role="switch" aria-checked={isOn} aria-labelledby="notifications-title"
          aria-describedby="notifications-about" disabled={state.kind !== 'on' && state.kind !== 'off'} onClick={() => void change()}
        ><span aria-hidden="true" /></button>
      </div>
      <p class="quiet" id="notifications-about" role="status">{about(state)}</p>
      {isOn && state.way === 'tab' && state.reason !== undefined && (
        <p class="settings-reason"><Icon name="alert" /><span>Not while it is closed: {state.reason}</span></p>
      )}
      {isOn && <Wishes />}
      <p class="form-note" role="alert">{notifications.problem.value}</p>
    </section>
  )
}

function Wishes(): JSX.Element {
  const { notifications } = useStore()
  const [busy, setBusy] = useState(false)
  const wishes = notifications.wishes.value
  const test = async (): Promise<void> => {
    setBusy(true)
    await notifications.test()
    setBusy(false)
  }
  return (
    <>
      <fieldset class="settings-wishes">
        <legend>Told of</legend>
        {TOPICS.map((topic) => (
          <label key={topic} class="check-line">
            <input
              type="checkbox" checked={wishes.topics[topic]}
              onChange={(event) => void notifications.wish({ ...wishes, topics: { ...wishes.topics, [topic]: event.currentTarget.checked } })}
            />
            {TOPIC_NAMES[topic]}
          </label>
        ))}
      </fieldset>
      <label class="settings-field">
        <span>What is said on a locked screen</span>
        <select value={wishes.detail} onChange={(event) => void notifications.wish({ ...wishes, detail: event.currentTarget.value as Detail })}>
          {DETAILS.map((detail) => <option key={detail} value={detail}>{DETAIL_NAMES[detail]}</option>)}
        </select>
      </label>
      <div class="settings-foot">
        <button type="button" class="button" disabled={busy} onClick={() => void test()}>Send one for trial</button>
        <span class="form-note is-good" role="status">{notifications.outcome.value}</span>
      </div>
    </>
  )
}
