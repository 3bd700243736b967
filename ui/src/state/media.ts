// Bytes of files the gateway keeps: fetched with this page's own proof, never from elsewhere.

import type { Secret } from '../protocol/client'
import type { MessageFile } from './files'

const PATH = '/v1/gateway/media/'
const TIMEOUT_MS = 60_000

export class Media {
  constructor(
    private readonly secret: () => Secret | undefined,
    private readonly origin: string,
  ) {}

  /** The bytes of a file; raises an Error that says in words why there are none. */
  async load(file: MessageFile): Promise<Blob> {
    if (file.blob !== undefined) return file.blob
    if (file.sha256 === undefined) throw new Error(file.note ?? 'It is not kept.')
    const secret = this.secret()
    const headers = secret === undefined ? {} : { authorization: `Bearer ${secret.value}` }
    // The API is at the root of the gateway, wherever the page is.
    const answer = await fetch(`${this.origin}${PATH}${file.sha256}`, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
      .catch(() => { throw new Error('The gateway could not be reached.') })
    if (answer.status === 404) throw new Error('It is no longer kept.')
    if (!answer.ok) throw new Error(`The gateway did not hand it out (${answer.status}).`)
    return answer.blob()
  }
}
