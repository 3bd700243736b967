import { describe, expect, it } from 'vitest'
import { addresses, read } from '../src/a2ui/messages'
import { canvasAddress, readAction, refreshedCanvasUrl } from '../src/state/canvas'
import type { Gateway } from '../src/state/gateway'

const asks = (answer: object): Gateway => ({ request: () => Promise.resolve(answer) }) as unknown as Gateway

describe('the canvas', () => {
  it('is asked for, and is under the host the page is at', async () => {
    const url = 'http://127.0.0.1:18789/__openclaw__/cap/abc'
    const base = await refreshedCanvasUrl(asks({ pluginSurfaceUrls: { canvas: url } }))
    expect(canvasAddress(base, 'ma/in', 'page')).toBe('/__openclaw__/cap/abc/__openclaw__/canvas/agents/ma%2Fin/')
    expect(canvasAddress(base, 'main', 'a2ui')).toBe('/__openclaw__/cap/abc/__openclaw__/a2ui/?agent=main')
    await expect(refreshedCanvasUrl(asks({}))).rejects.toThrow('no canvas')
  })

  it('takes from a page what was pressed, and nothing else', () => {
    const userAction = { name: 'go', context: { who: 'Ann' } }
    expect(readAction({ type: 'portico:a2ui-action', userAction })).toEqual({ name: 'go', context: '{"who":"Ann"}' })
    for (const other of [undefined, 'x', {}, { type: 'other', userAction }, { type: 'portico:a2ui-action' }])
      expect(readAction(other)).toBeUndefined()
    const long = { type: 'portico:a2ui-action', userAction: { name: 'x'.repeat(1000) } }
    expect(readAction(long)?.name).toHaveLength(300)
  })
})

describe('the messages of A2UI', () => {
  it('are of the version of the first', () => {
    expect(read('')).toEqual({ version: '0.8', messages: [] })
    expect(read('\n{"version":"v0.9"}\n').version).toBe('0.9')
    expect(() => read('{')).toThrow()
  })

  it('are found without the address of the page', () => {
    expect(addresses('').messages).toBe('../canvas/a2ui.jsonl')
    expect(addresses('?agent=a%2Fb')).toEqual({ messages: '../canvas/agents/a%2Fb/a2ui.jsonl', changes: '../changes/a%2Fb' })
  })
})
