// The button that opens the Jobs view; the view itself is fetched with the first click.

import type { ComponentType, JSX } from 'preact'
import { useState } from 'preact/hooks'
import { useStore } from './context'
import { Icon } from './icons'

type Panel = ComponentType<{ onClose: () => void }>

export function JobsButton(): JSX.Element | null {
  const store = useStore()
  const [open, setOpen] = useState(false)
  const [Panel, setPanel] = useState<Panel | undefined>(undefined)
  if (!store.jobs.offered.value) return null
  const show = async (): Promise<void> => {
    try {
      const { JobsPanel } = await import('./jobs-panel')
      setPanel(() => JobsPanel)
      setOpen(true)
    } catch {
      store.announce('The Jobs view could not be fetched. Is the gateway there?')
    }
  }
  return (
    <>
      <button type="button" class="icon-button" aria-label="Jobs" title="Jobs" aria-haspopup="dialog" onClick={() => void show()}>
        <Icon name="clock" />
      </button>
      {open && Panel !== undefined && <Panel onClose={() => setOpen(false)} />}
    </>
  )
}
