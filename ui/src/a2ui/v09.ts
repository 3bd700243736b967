// A2UI 0.9, drawn with the protocol's own renderer.

import { basicCatalog, Context } from '@a2ui/lit/v0_9'
import { MessageProcessor, type A2uiMessage } from '@a2ui/web_core/v0_9'
import { ContextProvider } from '@lit/context'
import { renderMarkdown } from '../views/markdown'
import { tell } from './actions'
import type { Message } from './messages'

const provided = new WeakSet<HTMLElement>()

export function draw(messages: Message[], box: HTMLElement): void {
  if (!provided.has(box)) {
    const initialValue = (text: string): Promise<string> => Promise.resolve(renderMarkdown(text))
    new ContextProvider(box, { context: Context.markdown, initialValue })
    provided.add(box)
  }
  const elements: HTMLElement[] = []
  const processor = new MessageProcessor([basicCatalog], ({ name, surfaceId, sourceComponentId, context }) => {
    tell({ name, surfaceId, sourceComponentId, context })
  })
  processor.onSurfaceCreated((surface) => {
    const element = document.createElement('a2ui-surface')
    elements.push(Object.assign(element, { surface }))
  })
  const drawn = messages.map(inOurCatalog) as unknown as A2uiMessage[]
  processor.processMessages(drawn)
  box.replaceChildren(...elements)
}

/** Every surface is drawn with the components there are, whatever catalog it names. */
function inOurCatalog(message: Message): Message {
  const created = message.createSurface as Message | undefined
  if (created === undefined) return message
  return { ...message, createSurface: { ...created, catalogId: basicCatalog.id } }
}
