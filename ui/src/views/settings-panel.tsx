// The Settings view: what this browser is told, and how the page looks in it.
// A chunk of its own, fetched when it is first opened.

import '../styles/settings.css'
import type { ComponentType, JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { setTheme, THEMES, theme } from '../state/theme'
import type { Flow } from '../state/wizard'
import { useStore } from './context'
import { Icon } from './icons'
import { NotificationSettings } from './notification-settings'
import { useMaySetUp } from './setup'

export function SettingsPanel({ onClose }: { onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    return () => {
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [])
  return (
    <dialog ref={dialog} class="settings" aria-labelledby="settings-title" onClose={onClose}>
      <header class="settings-bar">
        <h2 id="settings-title">Settings</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <div class="settings-body">
        <NotificationSettings />
        <SetUp />
        <Configuration />
        <Colours />
      </div>
    </dialog>
  )
}

function SetUp(): JSX.Element | null {
  const store = useStore()
  const show = (flow: Flow): void => { store.setUp.value = flow }
  if (!useMaySetUp()) return null
  return (
    <section class="settings-part" aria-labelledby="set-up-title">
      <h3 id="set-up-title">Set up</h3>
      <p class="quiet">A few questions each; nothing is changed before the last one is answered.</p>
      <div class="settings-trio">
        <button type="button" class="button" onClick={() => show('model')}>Model</button>
        <button type="button" class="button" onClick={() => show('channels')}>Channel</button>
        <button type="button" class="button" onClick={() => show('setup')}>Everything</button>
      </div>
    </section>
  )
}

function Configuration(): JSX.Element | null {
  const store = useStore()
  const hello = store.hello.value
  const [open, setOpen] = useState(false)
  const [Panel, setPanel] = useState<ComponentType<{ onClose: () => void }> | undefined>(undefined)
  if (!open && (hello === undefined || !hello.methods.has('config.schema') || !hello.scopes.has('operator.admin'))) return null
  const show = async (): Promise<void> => {
    try {
      const { ConfigPanel } = await import('./config-panel')
      setPanel(() => ConfigPanel)
      setOpen(true)
    } catch {
      store.announce('The Configuration view could not be fetched. Is the gateway there?')
    }
  }
  return (
    <section class="settings-part" aria-labelledby="configuration-title">
      <div class="settings-line">
        <h3 id="configuration-title">Configuration</h3>
        <button type="button" class="button" aria-label="Open the configuration" onClick={() => void show()}>Open</button>
      </div>
      <p class="quiet">Every setting of the gateway, and what a change would do.</p>
      {open && Panel !== undefined && <Panel onClose={() => setOpen(false)} />}
    </section>
  )
}

const NAMES = { auto: 'As the system', light: 'Light', dark: 'Dark' } as const

function Colours(): JSX.Element {
  const { places } = useStore()
  return (
    <fieldset class="settings-part">
      <legend>Colours</legend>
      <div class="choices">
        {THEMES.map((one) => (
          <label key={one} class="choice">
            <input type="radio" name="theme" value={one} checked={theme.value === one} onChange={() => setTheme(places.device, one)} />
            <Icon name={one} />
            {NAMES[one]}
          </label>
        ))}
      </div>
    </fieldset>
  )
}
