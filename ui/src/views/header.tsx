// Who we are connected to, and how that is going.

import type { JSX } from 'preact'
import { nextTheme, theme } from '../state/theme'
import { AgentsButton } from './agents'
import { CanvasButton } from './canvas'
import { useNow } from './clock'
import { useStore } from './context'
import { DevicesButton } from './devices'
import { HealthPanel } from './health'
import { Icon, Mark } from './icons'
import { JobsButton } from './jobs'
import { SettingsButton } from './settings'

export function Header(): JSX.Element {
  const store = useStore()
  return (
    <header class="bar">
      <button
        type="button" class="icon-button only-narrow" aria-label="Conversations"
        aria-expanded={store.drawerOpen.value} aria-controls="sidebar"
        onClick={() => { store.drawerOpen.value = true }}
      >
        <Icon name="menu" />
      </button>
      <div class="brand">
        <Mark />
        <span class="brand-name">Portico</span>
        <span class="brand-version">{store.version.value}</span>
      </div>
      <Connection />
      <span class="bar-space" />
      <HealthPanel />
      <CanvasButton />
      <AgentsButton />
      <JobsButton />
      <DevicesButton />
      <SettingsButton />
      <ThemeButton />
      <button type="button" class="icon-button" aria-label="Log out" title="Log out" onClick={() => void store.logOut()}>
        <Icon name="exit" />
      </button>
    </header>
  )
}

function Connection(): JSX.Element {
  const store = useStore()
  const state = store.connection.value
  if (state.phase === 'waiting') return <Countdown retryAt={state.retryAt} />
  const connected = state.phase === 'connected'
  return (
    <p class={`status ${connected ? 'status-good' : 'status-wait'}`}>
      <span class="dot" aria-hidden="true" />
      <span class="status-text">{connected ? 'Connected' : 'Connecting…'}</span>
    </p>
  )
}

function Countdown({ retryAt }: { retryAt: number }): JSX.Element {
  const store = useStore()
  const now = useNow(250)
  const seconds = Math.max(1, Math.ceil((retryAt - now.value) / 1000))
  return (
    <p class="status status-bad">
      <span class="dot" aria-hidden="true" />
      <span class="status-text">Reconnecting in {seconds} s</span>
      <button type="button" class="text-button" onClick={() => store.retryNow()}>Now</button>
    </p>
  )
}

const THEME_NAMES = { auto: 'follows the system', light: 'light', dark: 'dark' } as const

function ThemeButton(): JSX.Element {
  const store = useStore()
  const label = `Colours: ${THEME_NAMES[theme.value]}`
  const change = (): void => store.announce(`Colours: ${THEME_NAMES[nextTheme(store.places.device)]}`)
  return (
    <button type="button" class="icon-button only-wide" aria-label={label} title={label} onClick={change}>
      <Icon name={theme.value} />
    </button>
  )
}
