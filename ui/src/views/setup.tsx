// What opens the set-up; the view itself is fetched with the first click.

import type { ComponentType, JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { Flow } from '../state/wizard'
import { useStore } from './context'

type Panel = ComponentType<{ flow: Flow; onClose: () => void }>

export interface SetupDoor {
  readonly show: (flow: Flow) => Promise<void>
  readonly panel: JSX.Element | null
}

/** Opens the set-up from anywhere; `panel` has to be drawn. */
export function useSetup(): SetupDoor {
  const store = useStore()
  const [flow, setFlow] = useState<Flow | undefined>(undefined)
  const [Panel, setPanel] = useState<Panel | undefined>(undefined)
  const show = async (wanted: Flow): Promise<void> => {
    try {
      const { SetupPanel } = await import('./setup-panel')
      setPanel(() => SetupPanel)
      setFlow(wanted)
    } catch {
      store.announce('The set-up could not be fetched. Is the gateway there?')
    }
  }
  const panel = flow !== undefined && Panel !== undefined ? <Panel flow={flow} onClose={() => setFlow(undefined)} /> : null
  return { show, panel }
}

/** Who may set the gateway up, if it can be. */
export function useMaySetUp(): boolean {
  const hello = useStore().hello.value
  return hello !== undefined && hello.methods.has('wizard.start') && hello.scopes.has('operator.admin')
}
