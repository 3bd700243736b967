// Message content as the gateway sends it: a string, or a list of typed blocks.

import { asArray, asObject, asString, isObject, type JsonObject } from '../protocol/json'

export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  return asArray(content)
    .map((block) => (isObject(block) && block['type'] === 'text' ? (asString(block['text']) ?? '') : ''))
    .filter((text) => text !== '')
    .join('\n\n')
}

export const messageText = (message: unknown): string => textOf(asObject(message)['content'])

export interface CallBlock {
  readonly id: string
  readonly name: string
  readonly args: string
}

export function callsOf(content: unknown): CallBlock[] {
  const isCall = (block: unknown): block is JsonObject => isObject(block) && block['type'] === 'toolCall'
  return asArray(content)
    .filter(isCall)
    .map((block) => ({
      id: asString(block['id']) ?? '',
      name: asString(block['name']) ?? 'tool',
      args: display(block['arguments']),
    }))
}

/** Arguments and results of any shape, as text a person can read. */
export function display(value: unknown): string {
  if (value === undefined || value === null) return ''
  const text = typeof value === 'string' ? value : (isObject(value) && textOf(value['content'])) || textOf(value)
  return text === '' && typeof value !== 'string' ? JSON.stringify(value, null, 2) : indented(text)
}

/** JSON of an object or list is easier to read over several lines. */
function indented(text: string): string {
  if (!/^\s*[[{]/.test(text)) return text
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
