// What opens the set-up, wherever it was asked for; the view itself is fetched when it is first wanted.

import type { ComponentType, JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Flow } from '../state/wizard'
import { useStore } from './context'

type Panel = ComponentType<{ flow: Flow; onClose: () => void }>

/** Beside everything else: what asked for the set-up may go while it is open. */
export function SetupDoor(): JSX.Element | null {
  const store = useStore()
  const [Panel, setPanel] = useState<Panel | undefined>(undefined)
  const flow = store.setUp.value
  const close = (): void => { store.setUp.value = undefined }
  useEffect(() => {
    if (flow === undefined || Panel !== undefined) return
    import('./setup-panel').then(({ SetupPanel }) => setPanel(() => SetupPanel), () => {
      close()
      store.announce('The set-up could not be fetched. Is the gateway there?')
    })
  }, [flow])
  return flow === undefined || Panel === undefined ? null : <Panel flow={flow} onClose={close} />
}

/** Who may set the gateway up, if it can be. */
export function useMaySetUp(): boolean {
  const hello = useStore().hello.value
  return hello !== undefined && hello.methods.has('wizard.start') && hello.scopes.has('operator.admin')
}
