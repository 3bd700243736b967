// Where an agent's canvas is, and what its page tells us.

import { asObject, asString } from '../protocol/json'
import type { Gateway } from './gateway'

export type CanvasPart = 'page' | 'a2ui'

export interface CanvasAction {
  readonly name: string
  readonly context: string
}

const MAX_TEXT = 300

export async function refreshedCanvasUrl(gateway: Gateway): Promise<string> {
  const answer = await gateway.request('plugin.surface.refresh', { surface: 'canvas' })
  const url = asString(asObject(answer['pluginSurfaceUrls'])['canvas'])
  if (url === undefined) throw new Error('The gateway has no canvas.')
  return url
}

/** Under the host we are at: the gateway may know itself by another name. */
export function canvasAddress(base: string, agentId: string, part: CanvasPart): string {
  const path = new URL(base).pathname
  const id = encodeURIComponent(agentId)
  return part === 'page' ? `${path}/__openclaw__/canvas/agents/${id}/` : `${path}/__openclaw__/a2ui/?agent=${id}`
}

/** What was pressed in a page, as text: it is the page that says so. */
export function readAction(message: unknown): CanvasAction | undefined {
  const found = asObject(message)
  if (found['type'] !== 'portico:a2ui-action') return undefined
  const action = asObject(found['userAction'])
  const name = asString(action['name'])
  if (name === undefined) return undefined
  const context = asObject(action['context'])
  const text = Object.keys(context).length === 0 ? '' : JSON.stringify(context)
  return { name: name.slice(0, MAX_TEXT), context: text.slice(0, MAX_TEXT) }
}
