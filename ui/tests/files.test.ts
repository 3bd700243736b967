import { afterEach, describe, expect, it, vi } from 'vitest'
import { readLimits } from '../src/protocol/hello'
import { Attachments, type Picked } from '../src/state/attachments'
import { applyHistory } from '../src/state/chat-history'
import { emptyChat, type ChatState } from '../src/state/chat-model'
import { base64Of, bytes, filesOf, isDrawn } from '../src/state/files'
import { Media } from '../src/state/media'

const HASH = 'a'.repeat(64)
const limits = { maxBytes: 1000, maxImageBytes: 100, most: 3 }
const pick = (name: string, size: number, type = 'text/plain'): Picked =>
  ({ name, blob: new Blob(['x'.repeat(size)], { type }), origin: 'file' })

afterEach(() => { vi.unstubAllGlobals() })

describe('limits', () => {
  it('never promises more than one frame carries', () => {
    expect(readLimits({ maxPayload: 1_065_536, attachments: { maxBytes: 20_000_000, maxImageBytes: 900_000 } }))
      .toMatchObject({ maxBytes: 750_000, maxImageBytes: 750_000 })
    expect(readLimits({ maxPayload: 90_000_000, attachments: { maxBytes: 500, maxImageBytes: 50 } }))
      .toMatchObject({ maxBytes: 500, maxImageBytes: 50 })
  })
})

describe('Attachments', () => {
  it('keeps what fits, by conversation, and says why the rest is left out', async () => {
    const files = new Attachments(() => limits)
    await files.add('s', [pick('a', 600), pick('empty', 0), pick('huge', 1001), pick('b', 500), pick('c', 400)])
    expect(files.of('s').map((draft) => draft.file.name)).toEqual(['a', 'c'])
    expect(files.of('t')).toEqual([])
    expect(files.problems.value).toEqual([
      'empty is empty, or a folder.',
      'huge is 1 KB; a message may have 1 KB.',
      'b does not fit: 400 B of 1 KB are left in this message.',
    ])
    await files.add('s', [])
    expect(files.problems.value).toEqual([])
  })

  it('takes only so many', async () => {
    const files = new Attachments(() => limits)
    await files.add('s', ['1', '2', '3', '4'].map((name) => pick(name, 1)))
    expect(files.problems.value).toEqual(['4 is left out: a message takes 3 files.'])
  })

  it('makes a picture smaller that is too large, or says that it is', async () => {
    const small = new Blob(['x'], { type: 'image/jpeg' })
    const shrinks = new Attachments(() => limits, async () => small)
    await shrinks.add('s', [pick('me.png', 200, 'image/png')])
    expect(shrinks.of('s')).toMatchObject([{ file: { name: 'me.jpg', mimeType: 'image/jpeg', size: 1 }, shrunkFrom: 200 }])
    const cannot = new Attachments(() => limits, async () => undefined)
    await cannot.add('s', [pick('me.heic', 200, 'image/heic')])
    expect(cannot.problems.value).toEqual(['me.heic is 200 B; a picture may have 100 B.'])
  })

  it('hands out what is to be sent, once', async () => {
    const files = new Attachments(() => limits)
    await files.add('s', [pick('a', 1), pick('b', 1)])
    files.remove('s', files.of('s')[0]?.id ?? '')
    expect(files.take('s')).toMatchObject([{ name: 'b', kind: 'file' }])
    expect(files.take('s')).toEqual([])
  })
})

describe('files of messages', () => {
  it('goes by what the bytes are, not by what was claimed', () => {
    const [file] = filesOf([{ type: 'image', mimeType: 'application/pdf', fileName: 'x.png', sha256: HASH, sizeBytes: 5 }])
    expect(file).toEqual({ kind: 'file', mimeType: 'application/pdf', name: 'x.png', sha256: HASH, size: 5 })
  })

  it('draws what browsers draw, and nothing that is not kept', () => {
    const [png, svg, gone, far] = filesOf([
      { type: 'image', mimeType: 'image/png', sha256: HASH },
      { type: 'image', mimeType: 'image/svg+xml', sha256: HASH },
      { type: 'image', mimeType: 'image/png', note: 'no longer kept' },
      { type: 'image', url: 'https://example.org/a.png' },
      { type: 'text', text: 'no file' },
    ]).map(isDrawn)
    expect([png, svg, gone, far]).toEqual([true, false, false, true])
  })

  it('reads bytes that came with the message, and no address but https', async () => {
    const [inline, strange] = filesOf([
      { type: 'image', mimeType: 'image/png', data: btoa('png') },
      { type: 'image', mimeType: 'image/png', url: 'http://10.0.0.1/a.png' },
    ])
    expect(inline?.blob === undefined ? '' : await base64Of(inline.blob)).toBe(btoa('png'))
    expect(strange).toMatchObject({ note: 'not kept' })
  })

  it('says sizes as people do', () => {
    expect([999, 1400, 5_200_000, 20_000_000, 120_000_000].map(bytes)).toEqual(['999 B', '1 KB', '5.2 MB', '20 MB', '120 MB'])
  })
})

describe('the transcript', () => {
  const stored = {
    messages: [
      { role: 'user', content: [{ type: 'image', mimeType: 'image/png', fileName: 'a.png', sha256: HASH }], idempotencyKey: 'k:user' },
      { role: 'assistant', content: [{ type: 'text', text: 'here' }, { type: 'audio', mimeType: 'audio/mpeg', sha256: HASH }] },
    ],
  }

  it('has the files of questions and answers', () => {
    const chat = applyHistory(emptyChat, stored)
    expect(chat.entries).toMatchObject([
      { kind: 'user', text: '', files: [{ name: 'a.png', sha256: HASH }] },
      { kind: 'reply', text: 'here', files: [{ kind: 'audio' }] },
    ])
  })

  it('does not fetch again what this page has sent', () => {
    const blob = new Blob(['png'], { type: 'image/png' })
    const shown: ChatState = {
      ...emptyChat,
      entries: [{ kind: 'user', id: 'sent:k', key: 'k', text: '', at: 1, delivery: 'settled', files: [{ kind: 'image', name: 'a.png', mimeType: 'image/png', blob }] }],
    }
    expect(applyHistory(shown, stored).entries[0]).toMatchObject({ files: [{ sha256: HASH, blob }] })
  })
})

describe('Media', () => {
  const file = { kind: 'image', name: 'a', mimeType: 'image/png', sha256: HASH } as const

  it('shows the gateway its secret and says in words what went wrong', async () => {
    const answers = [new Response('png'), new Response('', { status: 404 }), new Response('', { status: 401 })]
    const asked = vi.fn(async () => answers.shift() ?? Response.error())
    vi.stubGlobal('fetch', asked)
    const media = new Media(() => ({ kind: 'token', value: 'secret' }), 'https://gate')
    expect(await (await media.load(file)).text()).toBe('png')
    expect(asked).toHaveBeenCalledWith(`https://gate/v1/gateway/media/${HASH}`, expect.objectContaining({ headers: { authorization: 'Bearer secret' } }))
    await expect(media.load(file)).rejects.toThrow('It is no longer kept.')
    await expect(media.load(file)).rejects.toThrow('did not hand it out (401)')
    await expect(media.load({ kind: 'file', name: 'x', mimeType: '', note: 'too large to be kept' })).rejects.toThrow('too large to be kept')
  })
})
