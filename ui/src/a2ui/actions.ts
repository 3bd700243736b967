// What a person does on a surface is told to whoever shows the page: a node's app, or our own page.

export interface UserAction {
  name: string
  surfaceId: string
  sourceComponentId: string
  context: Record<string, unknown>
}

interface Bridges {
  webkit?: { messageHandlers?: Record<string, { postMessage(value: unknown): void } | undefined> }
  openclawCanvasA2UIAction?: { postMessage(value: string): void }
}

export function tell(action: UserAction): void {
  const bridges = window as unknown as Bridges
  const now = new Date()
  const userAction = { id: `action-${now.getTime()}`, timestamp: now.toISOString(), ...action }
  const apple = bridges.webkit?.messageHandlers?.openclawCanvasA2UIAction
  const android = bridges.openclawCanvasA2UIAction
  if (apple !== undefined) apple.postMessage({ userAction })
  else if (android !== undefined) android.postMessage(JSON.stringify({ userAction }))
  else if (parent !== window) parent.postMessage({ type: 'portico:a2ui-action', userAction }, '*')
}
