// What is about to be sent with a message: files that were picked, pasted or dropped.
//
// Guarantees: what cannot be sent is refused here, with the reason, before anything is uploaded;
// a picture that is too large for the gateway is made smaller where the browser can do that.

import { signal } from '@preact/signals'
import type { Limits } from '../protocol/hello'
import { randomId } from '../protocol/ids'
import { bytes, kindOf, type MessageFile } from './files'

export interface Draft {
  readonly id: string
  readonly file: MessageFile & { readonly blob: Blob; readonly size: number }
  /** How large it was, where it was made smaller. */
  readonly shrunkFrom?: number
}

export interface Picked {
  readonly name: string
  readonly blob: Blob
  readonly origin: 'paste' | 'file'
}

export type Shrink = (blob: Blob, limit: number) => Promise<Blob | undefined>

export class Attachments {
  /** By conversation. */
  readonly drafts = signal<ReadonlyMap<string, readonly Draft[]>>(new Map())
  readonly problems = signal<readonly string[]>([])
  /** How many are being read. */
  readonly reading = signal(0)
  onNews: (text: string) => void = () => undefined

  constructor(
    readonly limits: () => Limits,
    private readonly shrink: Shrink = shrinkPicture,
  ) {}

  of(sessionKey: string): readonly Draft[] {
    return this.drafts.value.get(sessionKey) ?? []
  }

  async add(sessionKey: string, picked: readonly Picked[]): Promise<void> {
    this.problems.value = []
    this.reading.value += 1
    try {
      for (const one of picked) await this.addOne(sessionKey, one)
    } finally {
      this.reading.value -= 1
    }
    const count = this.of(sessionKey).length
    if (count > 0) this.onNews(count === 1 ? '1 file to send' : `${count} files to send`)
  }

  remove(sessionKey: string, id: string): void {
    this.problems.value = []
    this.put(sessionKey, this.of(sessionKey).filter((draft) => draft.id !== id))
  }

  /** What is to be sent now; it is no draft any more. */
  take(sessionKey: string): readonly MessageFile[] {
    const files = this.of(sessionKey).map((draft) => draft.file)
    this.problems.value = []
    this.put(sessionKey, [])
    return files
  }

  private async addOne(sessionKey: string, { name, blob, origin }: Picked): Promise<void> {
    const { maxBytes, maxImageBytes, most } = this.limits()
    const isPicture = kindOf(blob.type) === 'image'
    const ready = isPicture && blob.size > maxImageBytes ? await this.shrink(blob, maxImageBytes) : blob
    const present = this.of(sessionKey)
    const room = maxBytes - present.reduce((sum, draft) => sum + draft.file.size, 0)
    if (present.length >= most) this.refuse(`${name} is left out: a message takes ${most} files.`)
    else if (blob.size === 0) this.refuse(`${name} is empty, or a folder.`)
    else if (ready === undefined) this.refuse(`${name} is ${bytes(blob.size)}; a picture may have ${bytes(maxImageBytes)}.`)
    else if (ready.size > maxBytes) this.refuse(`${name} is ${bytes(ready.size)}; a message may have ${bytes(maxBytes)}.`)
    else if (ready.size > room) this.refuse(`${name} does not fit: ${bytes(room)} of ${bytes(maxBytes)} are left in this message.`)
    else this.put(sessionKey, [...present, draftOf(name, ready, blob, origin)])
  }

  private refuse(problem: string): void {
    this.problems.value = [...this.problems.value, problem]
  }

  private put(sessionKey: string, drafts: readonly Draft[]): void {
    const next = new Map(this.drafts.value)
    if (drafts.length === 0) next.delete(sessionKey)
    else next.set(sessionKey, drafts)
    this.drafts.value = next
  }
}

function draftOf(name: string, ready: Blob, original: Blob, origin: Picked['origin']): Draft {
  const isShrunk = ready !== original
  const shown = isShrunk ? `${name.replace(/\.\w+$/, '')}.jpg` : name
  return {
    id: randomId(),
    file: { kind: kindOf(ready.type), name: shown, mimeType: ready.type, size: ready.size, blob: ready, origin },
    ...(isShrunk ? { shrunkFrom: original.size } : {}),
  }
}

const SIDES = [3072, 2048, 1536, 1024]
const QUALITY = 0.85

/** The picture as a JPEG below a size; undefined: the browser cannot read it, or it moves. */
async function shrinkPicture(blob: Blob, limit: number): Promise<Blob | undefined> {
  if (blob.type === 'image/gif') return undefined
  try {
    const picture = await createImageBitmap(blob)
    for (const side of SIDES) {
      const smaller = await drawn(picture, side)
      if (smaller !== null && smaller.size <= limit) return smaller
    }
  } catch {
    // Not a picture this browser can read.
  }
  return undefined
}

function drawn(picture: ImageBitmap, side: number): Promise<Blob | null> {
  const scale = Math.min(1, side / Math.max(picture.width, picture.height))
  const canvas = document.createElement('canvas')
  canvas.width = Math.round(picture.width * scale)
  canvas.height = Math.round(picture.height * scale)
  canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height)
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', QUALITY))
}
