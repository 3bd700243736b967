import { describe, expect, it, vi } from 'vitest'
import type { JsonObject } from '../src/protocol/json'
import type { Gateway } from '../src/state/gateway'
import { Nodes, readNode, sayState } from '../src/state/nodes'

const attic: JsonObject = {
  nodeId: 'a'.repeat(64), displayName: 'Attic', platform: 'linux', version: '1', connected: true,
  approvalState: 'pending-approval', pendingRequestId: 'r1', pendingDeclaredCommands: ['system.run'], commands: [],
}

function room(nodes: JsonObject[] = [attic]) {
  const asked: string[] = []
  const request = vi.fn(async (method: string) => {
    asked.push(method)
    return { nodes } as unknown as JsonObject
  })
  const news: string[] = []
  const room = new Nodes({ request, tryRequest: request } as unknown as Gateway)
  room.onNews = (text) => news.push(text)
  return { nodes: room, asked, news }
}

describe('nodes', () => {
  it('reads what a gateway says, and drops junk', () => {
    expect(readNode(attic)).toMatchObject({
      name: 'Attic', about: 'linux 1', connected: true, request: { id: 'r1', commands: ['system.run'] },
    })
    expect(readNode({ nodeId: 'abcdefghijklmnop' })).toMatchObject({ name: 'abcdefghijkl', state: 'unapproved', request: undefined })
    expect(readNode({})).toBeUndefined()
    expect(sayState('pending-reapproval')).toBe('asks for more')
  })

  it('reads again what has changed', async () => {
    const { nodes, asked, news } = room()
    nodes.heard('node.pair.requested', attic)
    await vi.waitFor(() => expect(nodes.rows.value).toHaveLength(1))
    expect(news).toEqual(['Attic asks to be used'])
    await nodes.approve('r1')
    await nodes.reject('r1')
    expect(asked).toEqual(['node.list', 'node.pair.approve', 'node.list', 'node.pair.reject', 'node.list'])
  })
})
