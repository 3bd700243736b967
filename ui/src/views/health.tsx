// The health popover: asked for fresh each time it opens.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ChannelHealth } from '../state/health'
import { duration } from '../state/time'
import { useNow } from './clock'
import { useStore } from './context'
import { Icon } from './icons'

export function HealthPanel(): JSX.Element {
  const store = useStore()
  const [open, setOpen] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const [mood, word] = store.hello.value === undefined
    ? ['is-unknown', 'Unknown']
    : store.health.summary.value.ok ? ['', 'Healthy'] : ['is-bad', 'Degraded']
  useDismiss(open, box, () => setOpen(false), button)
  useEffect(() => {
    if (open) void store.health.check()
  }, [open, store])
  return (
    <div class="popover-anchor" ref={box}>
      <button
        ref={button} type="button" class={`pill-button ${mood}`} aria-expanded={open}
        aria-controls="health-panel" onClick={() => setOpen(!open)}
      >
        <Icon name="pulse" />
        <span>{word}</span>
      </button>
      {open && <Details />}
    </div>
  )
}

function useDismiss(
  open: boolean,
  box: { current: HTMLElement | null },
  close: () => void,
  button: { current: HTMLElement | null },
): void {
  useEffect(() => {
    if (!open) return undefined
    const outside = (event: PointerEvent): void => {
      if (event.target instanceof Node && box.current?.contains(event.target) !== true) close()
    }
    const key = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape') return
      close()
      button.current?.focus()
    }
    document.addEventListener('pointerdown', outside)
    document.addEventListener('keydown', key)
    return () => {
      document.removeEventListener('pointerdown', outside)
      document.removeEventListener('keydown', key)
    }
  }, [open])
}

function Details(): JSX.Element {
  const { health, hello } = useStore()
  const now = useNow(1000)
  const summary = health.summary.value
  const uptime = health.uptimeMs(now.value)
  const trip = health.roundTripMs.value
  return (
    <section id="health-panel" class="popover" aria-label="Gateway health">
      <h2>{hello.value === undefined ? 'As last heard' : summary.ok ? 'The gateway is healthy' : 'The gateway is degraded'}</h2>
      <dl class="facts">
        <Fact name="Version" value={health.runtimeVersion.value ?? hello.value?.serverVersion ?? '—'} />
        <Fact name="Up for" value={uptime === undefined ? '—' : duration(uptime)} />
        <Fact name="Answers in" value={trip === undefined ? '…' : `${trip < 10 ? trip.toFixed(1) : Math.round(trip)} ms`} />
        <Fact name="Conversations" value={String(summary.sessions ?? '—')} />
        <Fact name={summary.agents.length === 1 ? 'Agent' : 'Agents'} value={summary.agents.join(', ') || '—'} />
      </dl>
      <h3>Channels</h3>
      {summary.channels.length === 0
        ? <p class="quiet">None connected yet.</p>
        : <ul class="channels">{summary.channels.map((channel) => <Channel key={channel.id} channel={channel} />)}</ul>}
    </section>
  )
}

const Fact = ({ name, value }: { name: string; value: string }): JSX.Element => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
)

const CHANNEL_STATES = { on: 'connected', off: 'not connected', unset: 'not set up' } as const

const Channel = ({ channel }: { channel: ChannelHealth }): JSX.Element => (
  <li>
    <span class={`dot dot-${channel.state}`} aria-hidden="true" />
    <span>{channel.label}</span>
    <span class="quiet">{CHANNEL_STATES[channel.state]}</span>
  </li>
)
