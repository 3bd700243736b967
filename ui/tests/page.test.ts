import { afterEach, describe, expect, it } from 'vitest'
import { forgetSecret, loadSecret, saveSecret, takeFromAddress } from '../src/state/credentials'
import { readHealth } from '../src/state/health'
import type { JsonObject } from '../src/protocol/json'
import type { Gateway } from '../src/state/gateway'
import { applyChange, readRow, Sessions, titleFromKey } from '../src/state/sessions'
import { duration } from '../src/state/time'
import { renderMarkdown } from '../src/views/markdown'

const places = { session: sessionStorage, device: localStorage }

afterEach(() => {
  sessionStorage.clear()
  localStorage.clear()
  location.hash = ''
})

describe('credentials', () => {
  it('takes the token from the address and leaves no trace there', () => {
    location.hash = '#token=abc%2B1&x=1'
    expect(takeFromAddress('token', location, history)).toBe('abc+1')
    expect(location.hash).toBe('#x=1')
    expect(takeFromAddress('token', location, history)).toBeUndefined()
  })

  it('keeps the token for the session unless asked otherwise, and forgets it everywhere', () => {
    saveSecret(places, { kind: 'token', value: 'a' }, false)
    expect(localStorage.length).toBe(0)
    saveSecret(places, { kind: 'token', value: 'b' }, true)
    expect(sessionStorage.length).toBe(0)
    expect(loadSecret(places)).toEqual({ kind: 'token', value: 'b' })
    forgetSecret(places)
    expect(loadSecret(places)).toBeUndefined()
  })
})

describe('sessions', () => {
  const rows = [{ key: 'agent:main:a', label: 'A', updatedAt: 1 }, { key: 'agent:main:b', derivedTitle: 'Bread', updatedAt: 2 }]
    .map((row) => readRow(row)).filter((row) => row !== undefined)

  it('reads on where there are more than at first', async () => {
    const limits: unknown[] = []
    const tryRequest = async (method: string, params: JsonObject): Promise<JsonObject> => {
      limits.push(params['limit'])
      return method === 'sessions.list' ? { sessions: [{ key: 'agent:main:a' }], hasMore: limits.length < 3 } : {}
    }
    const sessions = new Sessions({ tryRequest } as unknown as Gateway)
    await sessions.refresh()
    await sessions.showMore()
    await sessions.showMore(true)
    await sessions.showMore()
    expect(limits).toEqual([100, 300, 1000])
    expect(sessions.hasMore.value).toBe(false)
  })

  it('puts a changed conversation on top and keeps the title it had', () => {
    const next = applyChange(rows, { sessionKey: 'agent:main:b', session: { key: 'agent:main:b', updatedAt: 9, hasActiveRun: true } })
    expect(next?.[0]).toMatchObject({ key: 'agent:main:b', title: 'Bread', running: true })
  })

  it('removes a deleted one and asks for the list when told nothing', () => {
    expect(applyChange(rows, { sessionKey: 'agent:main:a', reason: 'delete' })?.map((row) => row.key)).toEqual(['agent:main:b'])
    expect(applyChange(rows, { reason: 'delete' })).toBeUndefined()
  })

  it('makes titles from keys', () => {
    expect(titleFromKey('agent:main:main')).toBe('Main')
    expect(titleFromKey('agent:main:telegram:direct:42')).toBe('telegram · direct · 42')
  })
})

describe('health', () => {
  it('reads the summary', () => {
    const health = readHealth({
      ok: true, sessions: { count: 3 }, agents: [{ agentId: 'main' }],
      channels: { a: { configured: true, connected: false }, b: { configured: false } }, channelLabels: { a: 'Alpha' },
    })
    expect(health).toMatchObject({
      ok: true, sessions: 3, agents: ['main'],
      channels: [{ id: 'a', label: 'Alpha', state: 'off' }, { id: 'b', state: 'unset' }],
    })
    expect(duration(90_061_000)).toBe('1 d 1 h')
  })
})

describe('markdown', () => {
  it('shows raw HTML as text and fetches no pictures', () => {
    const html = renderMarkdown('<img src=x onerror=alert(1)>\n\n![cat](https://example.org/c.png)\n\n<script>alert(1)</script>')
    expect(html).not.toMatch(/<(img|script)/)
    expect(html).toContain('href="https://example.org/c.png"')
  })

  it('refuses script links, styles and classes, and opens links safely', () => {
    const html = renderMarkdown('[x](javascript:alert(1)) [y](https://example.org)')
    expect(html).not.toContain('javascript:')
    expect(html).toMatch(/rel="noopener noreferrer nofollow"/)
    expect(html).not.toMatch(/style=/)
  })

  it('gives code a copy button and tables a frame', () => {
    const html = renderMarkdown('```js\na < b\n```\n\n| a |\n|---|\n| 1 |')
    expect(html).toContain('class="code"')
    expect(html).toContain('a &lt; b')
    expect(html).toContain('class="table"')
  })
})
