import { describe, expect, it, vi } from 'vitest'
import { ConnectionLostError, GatewayError } from '../src/protocol/errors'
import { readHello } from '../src/protocol/hello'
import type { JsonObject } from '../src/protocol/json'
import { Approvals, linkedApproval, readApproval } from '../src/state/approvals'
import type { Gateway } from '../src/state/gateway'

const wanted = (id: string, more: JsonObject = {}): JsonObject => ({
  id, createdAtMs: 1, expiresAtMs: 60_001,
  request: { command: 'rm -rf build', agentId: 'main', allowedDecisions: ['allow-once', 'deny'], ...more },
})
const hello = readHello({ features: { methods: ['exec.approval.list'] } }, 5000)

function room(answers: Record<string, unknown> = {}, linked?: string) {
  const asked: [string, JsonObject][] = []
  const request = vi.fn(async (method: string, params: JsonObject) => {
    asked.push([method, params])
    const answer = answers[method] ?? {}
    if (answer instanceof Error) throw answer
    return answer as JsonObject
  })
  const approvals = new Approvals({ request, tryRequest: request } as unknown as Gateway, linked)
  const news: string[] = []
  approvals.onNews = (text) => news.push(text)
  return { approvals, asked, news }
}

describe('approvals', () => {
  it('reads what a gateway says, and lets no always be said', () => {
    expect(readApproval(wanted('a'))).toMatchObject({ id: 'a', command: 'rm -rf build', allowed: ['allow-once', 'deny'] })
    expect(readApproval(wanted('a', { allowedDecisions: 'junk' }))?.allowed).toEqual(['deny'])
    expect(readApproval({ id: 'a' })).toBeUndefined()
    expect(readApproval(null)).toBeUndefined()
  })

  it('shows what waited before, and what comes, each once', async () => {
    const { approvals, news } = room({ 'exec.approval.list': { items: [wanted('a'), 'junk'] } })
    await approvals.connected(hello)
    expect(approvals.aheadMs.value).toBe(5000)
    approvals.requested(wanted('a'))
    approvals.requested(wanted('b'))
    expect(approvals.pending.value.map((one) => one.id)).toEqual(['a', 'b'])
    expect(news).toEqual(['Approval wanted: rm -rf build'])
  })

  it('asks nothing of a gateway that has none', async () => {
    const { approvals, asked } = room()
    await approvals.connected(readHello({}))
    expect(asked).toEqual([])
  })

  it('sends one decision, and forgets the card', async () => {
    const { approvals, asked, news } = room({ 'exec.approval.resolve': { ok: true } })
    approvals.requested(wanted('a'))
    await Promise.all([approvals.decide('a', 'deny'), approvals.decide('a', 'allow-once')])
    expect(asked).toEqual([['exec.approval.resolve', { id: 'a', decision: 'deny' }]])
    expect(approvals.pending.value).toEqual([])
    approvals.resolved({ id: 'a', decision: 'deny' })
    expect(news.slice(1)).toEqual(['Denied.'])
  })

  it('says that another decision came first', async () => {
    const taken = new GatewayError('INVALID_REQUEST', 'approval already resolved', { reason: 'APPROVAL_ALREADY_RESOLVED' })
    const { approvals, news } = room({ 'exec.approval.resolve': taken })
    approvals.requested(wanted('a'))
    await approvals.decide('a', 'allow-once')
    expect(approvals.pending.value).toEqual([])
    expect(news.at(-1)).toBe('It was decided elsewhere, or too late.')
  })

  it('keeps the card when the answer was lost, and says so', async () => {
    const { approvals } = room({ 'exec.approval.resolve': new ConnectionLostError() })
    approvals.requested(wanted('a'))
    await approvals.decide('a', 'allow-once')
    expect(approvals.pending.value).toHaveLength(1)
    expect(approvals.problems.value.get('a')).toContain('connection was lost')
    approvals.resolved({ id: 'a', decision: null })
    expect(approvals.problems.value.size).toBe(0)
  })

  it('gives the focus to the one a link leads to, once', async () => {
    const { approvals } = room({ 'exec.approval.list': { items: [wanted('a')] } }, 'a')
    await approvals.connected(hello)
    expect([approvals.takeLinked('b'), approvals.takeLinked('a'), approvals.takeLinked('a')]).toEqual([false, true, false])
    const over = room({ 'exec.approval.list': { items: [] } }, 'a')
    await over.approvals.connected(hello)
    expect(over.news).toEqual(['That approval is over.'])
  })

  it('reads a link to an approval, under any base', () => {
    expect(linkedApproval('http://h:1/approve/apr%201#token=t', 'http://h:1/')).toEqual({ id: 'apr 1', rest: 'http://h:1/#token=t' })
    expect(linkedApproval('http://h/x/approve/a', 'http://h/x/')?.id).toBe('a')
    for (const href of ['http://h/', 'http://h/approve/', 'http://h/approve/a/b', 'http://h/approve/%zz'])
      expect(linkedApproval(href, 'http://h/')).toBeUndefined()
  })
})
