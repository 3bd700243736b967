// Files of messages: what the transcript names, and what this page is about to send.
// Source: OpenClaw gateway protocol, chat.send attachments and chat.history content.

import { asArray, asNumber, asString, isObject, type JsonObject } from '../protocol/json'

export type FileKind = 'image' | 'audio' | 'video' | 'file'

export interface MessageFile {
  readonly kind: FileKind
  readonly name: string
  readonly mimeType: string
  readonly size?: number
  /** The bytes, where this page has them: it sent them itself, or they came with the message. */
  readonly blob?: Blob
  /** Under what the gateway keeps it. */
  readonly sha256?: string
  /** Where a picture is shown from that the gateway does not keep. */
  readonly url?: string
  /** Why there are no bytes. */
  readonly note?: string
  /** What is said in a sound. */
  readonly transcript?: string
  /** How it came to this page. */
  readonly origin?: 'paste' | 'file'
}

/** What every browser draws, and the gateway hands out as what it is. */
const DRAWN = /^image\/(png|jpeg|gif|webp)$/
const HASH = /^[0-9a-f]{64}$/
const KINDS: readonly FileKind[] = ['image', 'audio', 'video', 'file']
const NAMES: Readonly<Record<FileKind, string>> = { image: 'Picture', audio: 'Sound', video: 'Video', file: 'File' }

export function kindOf(mimeType: string): FileKind {
  const head = mimeType.split('/')[0] ?? ''
  return KINDS.find((kind) => kind === head) ?? 'file'
}

/** A picture that is shown as one; any other is a file with a name. */
export const isDrawn = (file: MessageFile): boolean =>
  file.kind === 'image' && file.note === undefined && (file.url !== undefined || DRAWN.test(file.mimeType))

export const isLoadable = (file: MessageFile): boolean => file.blob !== undefined || file.sha256 !== undefined

/** The files among the blocks of a message's content. */
export const filesOf = (content: unknown): MessageFile[] =>
  asArray(content).map(readFile).filter((file) => file !== undefined)

function readFile(value: unknown): MessageFile | undefined {
  if (!isObject(value)) return undefined
  const kind = KINDS.find((one) => one === value['type'])
  if (kind === undefined) return undefined
  const mimeType = asString(value['mimeType']) ?? asString(value['mediaType']) ?? ''
  const sha256 = asString(value['sha256'])
  const file = {
    // What the bytes are counts, where the gateway has looked at them.
    kind: mimeType === '' ? kind : kindOf(mimeType),
    name: asString(value['fileName']) ?? asString(value['name']) ?? NAMES[kind],
    mimeType,
    ...optional('size', asNumber(value['sizeBytes'])),
    ...optional('sha256', sha256 !== undefined && HASH.test(sha256) ? sha256 : undefined),
    ...optional('note', asString(value['note'])),
    ...optional('transcript', asString(value['transcript'])),
  }
  if (file.sha256 !== undefined || file.note !== undefined) return file
  return withContent(file, value)
}

/** Bytes in the message itself, or a picture at a public address; else a file without bytes. */
function withContent(file: MessageFile, value: JsonObject): MessageFile {
  const url = asString(value['url'])
  if (file.kind === 'image' && url?.startsWith('https://') === true) return { ...file, url }
  const blob = fromBase64(asString(value['data']) ?? '', file.mimeType)
  return blob === undefined ? { ...file, note: 'not kept' } : { ...file, blob, size: blob.size }
}

function fromBase64(text: string, type: string): Blob | undefined {
  if (text === '') return undefined
  try {
    return new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))], { type })
  } catch {
    return undefined
  }
}

const optional = <Name extends string, Value>(name: Name, value: Value | undefined): { [key in Name]?: Value } =>
  (value === undefined ? {} : { [name]: value }) as { [key in Name]?: Value }

const KB = 1000

export function bytes(size: number): string {
  if (size < KB) return `${size} B`
  if (size < KB * KB) return `${Math.round(size / KB)} KB`
  const millions = size / (KB * KB)
  return `${millions < 100 ? millions.toFixed(1).replace(/\.0$/, '') : Math.round(millions)} MB`
}

/** The bytes in base64, as `chat.send` takes them. */
export function base64Of(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ''))
    reader.onerror = () => reject(new Error('The file could not be read. Was it moved or deleted?'))
    reader.readAsDataURL(blob)
  })
}
