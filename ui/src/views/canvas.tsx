// The button that opens the Canvas view; the view itself is fetched with the first click.

import type { ComponentType, JSX } from 'preact'
import { useState } from 'preact/hooks'
import { useStore } from './context'
import { Icon } from './icons'

type Panel = ComponentType<{ onClose: () => void }>

export function CanvasButton(): JSX.Element | null {
  const store = useStore()
  const [open, setOpen] = useState(false)
  const [Panel, setPanel] = useState<Panel | undefined>(undefined)
  if (store.hello.value?.canvasUrl === undefined && !open) return null
  const show = async (): Promise<void> => {
    try {
      const { CanvasPanel } = await import('./canvas-panel')
      setPanel(() => CanvasPanel)
      setOpen(true)
    } catch {
      store.announce('The Canvas view could not be fetched. Is the gateway there?')
    }
  }
  return (
    <>
      <button type="button" class="icon-button" aria-label="Canvas" title="Canvas" aria-haspopup="dialog" onClick={() => void show()}>
        <Icon name="canvas" />
      </button>
      {open && Panel !== undefined && <Panel onClose={() => setOpen(false)} />}
    </>
  )
}
