// The button that opens the Devices view, with the number of those who wait; the view itself is
// fetched with the first click.

import type { ComponentType, JSX } from 'preact'
import { useState } from 'preact/hooks'
import { useStore } from './context'
import { Icon } from './icons'

type Panel = ComponentType<{ onClose: () => void }>

export function DevicesButton(): JSX.Element | null {
  const store = useStore()
  const [open, setOpen] = useState(false)
  const [Panel, setPanel] = useState<Panel | undefined>(undefined)
  if (!store.devices.offered.value) return null
  const waiting = (store.devices.pending.value?.length ?? 0) + store.nodes.rows.value.filter((one) => one.request !== undefined).length
  const show = async (): Promise<void> => {
    try {
      const { DevicesPanel } = await import('./devices-panel')
      setPanel(() => DevicesPanel)
      setOpen(true)
    } catch {
      store.announce('The Devices view could not be fetched. Is the gateway there?')
    }
  }
  const label = waiting === 0 ? 'Devices' : `Devices, ${waiting} waiting`
  return (
    <>
      <button type="button" class="icon-button has-count" aria-label={label} title={label} aria-haspopup="dialog" onClick={() => void show()}>
        <Icon name="devices" />
        {waiting > 0 && <span class="count" aria-hidden="true">{waiting}</span>}
      </button>
      {open && Panel !== undefined && <Panel onClose={() => setOpen(false)} />}
    </>
  )
}
