// "Pair a device": a setup code as a picture, and what became of it.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Access, SetupCode } from '../state/devices'
import { sayError } from '../state/gateway'
import { duration } from '../state/time'
import { useNow } from './clock'
import { useStore } from './context'
import { CopyButton } from './copy'
import { Icon } from './icons'

const LOOK_MS = 5_000
const ACCESS: readonly (readonly [Access, string, string])[] = [
  ['limited', 'Limited', 'reads and writes, decides approvals'],
  ['full', 'Full', 'an administrator, where the address is encrypted'],
  ['node', 'Node only', 'lends the gateway what it can do'],
]

/** How this page reached the gateway, where another device could, too. */
function ownAddress(): string {
  const local = /^(localhost|127\.|\[::1\])|\.localhost$/.test(location.hostname)
  return local ? '' : new URL('./', document.baseURI).href
}

export function PairDevice({ onClose }: { onClose: () => void }): JSX.Element {
  const store = useStore()
  const [code, setCode] = useState<SetupCode | undefined>(undefined)
  const [problem, setProblem] = useState('')
  const [busy, setBusy] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => form.current?.querySelector('input')?.focus(), [])
  const make = async (): Promise<void> => {
    if (form.current === null) return
    const data = new FormData(form.current)
    setBusy(true)
    try {
      const access = String(data.get('access')) as Access
      setCode(await store.devices.makeCode(access, String(data.get('address') ?? '').trim()))
      setProblem('')
    } catch (error) {
      setCode(undefined)
      setProblem(sayError(error))
    }
    setBusy(false)
  }
  return (
    <section class="pair" aria-labelledby="pair-title">
      <header>
        <h3 id="pair-title">Pair a device</h3>
        <button type="button" class="icon-button small" aria-label="Stop pairing" onClick={onClose}><Icon name="close" /></button>
      </header>
      <form ref={form} hidden={code !== undefined} onSubmit={(event) => { event.preventDefault(); void make() }}>
        <fieldset>
          <legend>What it may do</legend>
          {ACCESS.map(([value, name, text], index) => (
            <label key={value}>
              <input type="radio" name="access" value={value} defaultChecked={index === 0} />
              <span>{name}<span class="quiet"> {text}</span></span>
            </label>
          ))}
        </fieldset>
        <label class="pair-address">
          Where it finds the gateway
          <input name="address" type="text" inputMode="url" placeholder="Let the gateway say" defaultValue={ownAddress()} autocomplete="off" autocapitalize="off" spellcheck={false} />
        </label>
        <p class="form-note" role="alert">{problem}</p>
        <button type="submit" class="button primary" disabled={busy}>{busy ? 'Making a code…' : 'Show a code'}</button>
      </form>
      {code !== undefined && <Code code={code} again={() => void make()} done={onClose} />}
    </section>
  )
}

function Code({ code, again, done }: { code: SetupCode; again: () => void; done: () => void }): JSX.Element {
  const { devices } = useStore()
  const now = useNow(1000)
  const left = code.expiresAt - now.value
  const who = devices.arrived.value.get(code.setupId)
  const open = who === undefined && left > 0
  useEffect(() => {
    if (!open) return undefined
    const timer = setInterval(() => void devices.look(code.setupId), LOOK_MS)
    return () => clearInterval(timer)
  }, [open, code.setupId, devices])
  if (who !== undefined) {
    return (
      <div class="pair-end" role="status">
        <Icon name="check" />
        <p><strong>{who}</strong> is paired.</p>
        <button type="button" class="button primary" onClick={done}>Done</button>
      </div>
    )
  }
  if (left <= 0) {
    return (
      <div class="pair-end" role="status">
        <Icon name="clock" />
        <p>The code has expired.</p>
        <button type="button" class="button primary" onClick={again}>Show another</button>
      </div>
    )
  }
  return (
    <div class="pair-code">
      {code.picture !== '' && <img src={code.picture} alt="QR code of the setup code" width={240} height={240} />}
      <div>
        <p role="status">Waiting for the device… <span class="quiet">{duration(left)} left</span></p>
        <p class="quiet">
          Scan it with the app, or start a node with the code. It lets in one device, whoever shows it first.
        </p>
        <p class="pair-line"><code>{code.code}</code><CopyButton text={code.code} label="Copy the setup code" /></p>
        <p class="quiet">Leads to {code.url}. Access: {code.access}{code.isDowngraded && ', because this address is not encrypted'}.</p>
      </div>
    </div>
  )
}
