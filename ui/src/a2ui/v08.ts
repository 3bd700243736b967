// A2UI 0.8, drawn with the protocol's own renderer.

import { Data } from '@a2ui/lit/0.8'
import { Context } from '@a2ui/lit/ui'
import { ContextProvider } from '@lit/context'
import { renderMarkdown } from '../views/markdown'
import { tell } from './actions'
import type { Message } from './messages'
import { theme } from './theme'

type Processor = ReturnType<typeof Data.createSignalA2uiMessageProcessor>

interface Bound {
  path?: string
  literalString?: string
  literalNumber?: number
  literalBoolean?: boolean
}

interface Pressed {
  action: { name: string; context?: { key: string; value: Bound }[] }
  sourceComponentId: string
  sourceComponent: Parameters<Processor['getData']>[0] | null
}

const provided = new WeakSet<HTMLElement>()

export function draw(messages: Message[], box: HTMLElement): void {
  if (!provided.has(box)) {
    const initialValue = (text: string): Promise<string> => Promise.resolve(renderMarkdown(text))
    new ContextProvider(box, { context: Context.theme, initialValue: theme })
    new ContextProvider(box, { context: Context.markdown, initialValue })
    provided.add(box)
  }
  const processor = Data.createSignalA2uiMessageProcessor()
  processor.processMessages(messages as Parameters<Processor['processMessages']>[0])
  const elements = [...processor.getSurfaces()].map(([surfaceId, surface]) => {
    const element = document.createElement('a2ui-surface')
    element.addEventListener('a2uiaction', (event) => {
      const pressed = event.detail as unknown as Pressed
      tell({
        name: pressed.action.name,
        surfaceId,
        sourceComponentId: pressed.sourceComponentId,
        context: contextOf(pressed, processor, surfaceId),
      })
    })
    return Object.assign(element, { surfaceId, surface, processor, enableCustomElements: false })
  })
  box.replaceChildren(...elements)
}

function contextOf(pressed: Pressed, processor: Processor, surfaceId: string): Record<string, unknown> {
  const found = (pressed.action.context ?? []).map(({ key, value }) => {
    const literal = value.literalString ?? value.literalNumber ?? value.literalBoolean
    if (value.path === undefined || pressed.sourceComponent === null) return [key, literal ?? null]
    return [key, processor.getData(pressed.sourceComponent, value.path, surfaceId)]
  })
  return Object.fromEntries(found) as Record<string, unknown>
}
