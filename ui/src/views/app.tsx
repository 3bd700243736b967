// Door or house: the login card until the gateway lets us in, then the page.

import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { Chat } from './chat'
import { useStore } from './context'
import { Header } from './header'
import { Mark } from './icons'
import { Login } from './login'
import { SetupDoor } from './setup'
import { Sidebar } from './sidebar'

export function App(): JSX.Element {
  const store = useStore()
  return (
    <>
      <View />
      <div class="offscreen" role="status" aria-live="polite">{store.announcement.value}</div>
    </>
  )
}

function View(): JSX.Element {
  const store = useStore()
  const phase = store.connection.value.phase
  useTitle()
  if (store.admitted.value) return <House />
  if (store.untried.value && (phase === 'idle' || phase === 'connecting')) return <Splash />
  return <Login />
}

/** Not left to the browser: with a <base> the link would lead to another address. */
function skip(event: MouseEvent): void {
  event.preventDefault()
  document.getElementById('message')?.focus()
}

const House = (): JSX.Element => (
  <div class="house">
    <a class="skip" href="#message" onClick={skip}>Skip to the message field</a>
    <Header />
    <Sidebar />
    <Chat />
    <SetupDoor />
  </div>
)

const Splash = (): JSX.Element => (
  <main class="door" aria-busy="true"><div class="splash"><Mark /><p>Connecting…</p></div></main>
)

function useTitle(): void {
  const store = useStore()
  const key = store.chats.currentKey.value
  const row = store.sessions.rows.value.find((candidate) => candidate.key === key)
  const title = store.admitted.value && row !== undefined ? `${row.title} · Portico` : 'Portico'
  useEffect(() => { document.title = title }, [title])
}
