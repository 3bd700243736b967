// The Canvas view: what an agent has drawn, in a frame that has nothing of this page: its own
// origin, no storage, no credentials. What it asks for is shown, and done by the person or not.

import '../styles/canvas.css'
import type { JSX } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Agents } from '../state/agents'
import { canvasAddress, readAction, refreshedCanvasUrl, type CanvasAction, type CanvasPart } from '../state/canvas'
import { sayError } from '../state/gateway'
import { useStore } from './context'
import { Icon } from './icons'

export function CanvasPanel({ onClose }: { onClose: () => void }): JSX.Element {
  const store = useStore()
  const agents = useMemo(() => new Agents(store.gateway), [store])
  const dialog = useRef<HTMLDialogElement>(null)
  const frame = useRef<HTMLIFrameElement>(null)
  const [agentId, setAgentId] = useState<string | undefined>(undefined)
  const [part, setPart] = useState<CanvasPart>('page')
  const [base, setBase] = useState<string | undefined>(undefined)
  const [problem, setProblem] = useState('')
  const [action, setAction] = useState<CanvasAction | undefined>(undefined)
  const hello = store.hello.value
  const shown = agentId ?? hello?.defaultAgentId

  // An address of its own each time: the one of the greeting may have been idle for too long.
  const load = (): void => {
    setProblem('')
    refreshedCanvasUrl(store.gateway).then(setBase, (error: unknown) => setProblem(sayError(error)))
  }
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    agents.load().catch(() => undefined)
    return () => {
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [agents])
  useEffect(() => { if (hello !== undefined) load() }, [hello])
  useEffect(() => {
    const listen = (event: MessageEvent<unknown>): void => {
      if (event.source === frame.current?.contentWindow) setAction(readAction(event.data))
    }
    addEventListener('message', listen)
    return () => removeEventListener('message', listen)
  }, [])

  return (
    <dialog ref={dialog} class="canvas" aria-labelledby="canvas-title" onClose={onClose}>
      <header class="canvas-bar">
        <h2 id="canvas-title">Canvas</h2>
        <label class="canvas-choice">
          <span class="offscreen">Agent</span>
          <select class="input" value={shown} onChange={(event) => setAgentId(event.currentTarget.value)}>
            {agents.rows.value === undefined && <option value={shown}>{shown}</option>}
            {(agents.rows.value ?? []).map((row) => <option key={row.id} value={row.id}>{row.name}</option>)}
          </select>
        </label>
        <label class="canvas-choice">
          <span class="offscreen">What is shown</span>
          <select class="input" value={part} onChange={(event) => setPart(event.currentTarget.value as CanvasPart)}>
            <option value="page">Page</option>
            <option value="a2ui">A2UI</option>
          </select>
        </label>
        <span class="bar-space" />
        <button type="button" class="icon-button" aria-label="Load again" title="Load again" onClick={load}><Icon name="again" /></button>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      {problem !== '' && <p class="problem" role="alert">{problem}</p>}
      {action !== undefined && (
        <div class="canvas-asks" role="status">
          <p>Pressed: <strong>{action.name}</strong>{action.context !== '' && <code>{action.context}</code>}</p>
          <button type="button" class="text-button" onClick={() => setAction(undefined)}>Dismiss</button>
        </div>
      )}
      {base !== undefined && shown !== undefined && (
        <iframe
          ref={frame} key={`${base} ${shown} ${part}`} title="What the agent has drawn"
          sandbox="allow-scripts" referrerpolicy="no-referrer" src={canvasAddress(base, shown, part)}
        />
      )}
    </dialog>
  )
}
