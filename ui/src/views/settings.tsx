// The button that opens the Settings view; the view itself is fetched with the first click.

import type { ComponentType, JSX } from 'preact'
import { useState } from 'preact/hooks'
import { useStore } from './context'
import { Icon } from './icons'

type Panel = ComponentType<{ onClose: () => void }>

export function SettingsButton(): JSX.Element {
  const store = useStore()
  const [open, setOpen] = useState(false)
  const [Panel, setPanel] = useState<Panel | undefined>(undefined)
  const show = async (): Promise<void> => {
    try {
      const { SettingsPanel } = await import('./settings-panel')
      setPanel(() => SettingsPanel)
      setOpen(true)
    } catch {
      store.announce('The Settings view could not be fetched. Is the gateway there?')
    }
  }
  return (
    <>
      <button type="button" class="icon-button" aria-label="Settings" title="Settings" aria-haspopup="dialog" onClick={() => void show()}>
        <Icon name="settings" />
      </button>
      {open && Panel !== undefined && <Panel onClose={() => setOpen(false)} />}
    </>
  )
}
