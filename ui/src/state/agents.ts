// The agents of the gateway and their documents, as the Agents view needs them.

import { signal } from '@preact/signals'
import { GatewayError } from '../protocol/errors'
import { asArray, asBoolean, asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import type { Gateway } from './gateway'
import { loadSkills, switchSkill, type SkillRow } from './skills'

export interface AgentRow {
  readonly id: string
  readonly name: string
  readonly emoji: string
  /** As configured; empty where the agent has none of its own name. */
  readonly model: string
  readonly runtime: string
  readonly workspace: string
  readonly isDefault: boolean
}

export interface DocumentRow {
  readonly name: string
  readonly missing: boolean
  readonly size: number
}

/** A document as it was read; `hash` names what was read, so that nobody else is overwritten. */
export interface DocumentText {
  readonly content: string
  readonly hash: string | undefined
}

export interface AgentChange {
  readonly name?: string
  readonly emoji?: string
  readonly model?: string | null
}

const OWN = 'portico/'

export function readAgent(value: unknown, defaultId: string): AgentRow {
  const agent = asObject(value)
  const looks = asObject(agent['identity'])
  const id = asString(agent['id']) ?? 'main'
  const model = asString(asObject(agent['model'])['primary']) ?? ''
  return {
    id,
    name: asString(looks['name']) ?? asString(agent['name']) ?? id,
    emoji: asString(looks['emoji']) ?? '',
    model: model.startsWith(OWN) ? '' : model,
    runtime: asString(asObject(agent['agentRuntime'])['id']) ?? '',
    workspace: asString(agent['workspace']) ?? '',
    isDefault: id === defaultId,
  }
}

export const isConflict = (error: unknown): boolean =>
  error instanceof GatewayError && error.details['type'] === 'agent_file_conflict'

export class Agents {
  readonly rows = signal<readonly AgentRow[] | undefined>(undefined)
  readonly models = signal<readonly string[]>([])

  constructor(private readonly gateway: Gateway) {}

  async load(): Promise<void> {
    const found = await this.gateway.request('agents.list', {})
    const defaultId = asString(found['defaultId']) ?? 'main'
    this.rows.value = asArray(found['agents']).map((agent) => readAgent(agent, defaultId))
  }

  async loadModels(): Promise<void> {
    const found = await this.gateway.tryRequest('models.list', { view: 'all' })
    this.models.value = asArray(found?.['models'])
      .map((model) => `${asString(asObject(model)['provider'])}/${asString(asObject(model)['id'])}`)
      .filter((name) => !name.startsWith(OWN))
  }

  async create(wanted: AgentChange & { readonly name: string }): Promise<string> {
    const given = Object.entries(wanted).filter(([, value]) => typeof value === 'string' && value !== '')
    const made = await this.gateway.request('agents.create', Object.fromEntries(given))
    await this.load()
    return asString(made['agentId']) ?? ''
  }

  async update(agentId: string, change: AgentChange): Promise<void> {
    await this.gateway.request('agents.update', { agentId, ...change })
    await this.load()
  }

  /** Returns what there is to say about its directory. */
  async remove(agentId: string): Promise<string> {
    const gone = await this.gateway.request('agents.delete', { agentId })
    await this.load()
    const kept = asObject(asArray(gone['failed'])[0])
    if (asString(kept['path']) !== undefined) return `Its directory stays: ${asString(kept['reason']) ?? ''}`
    return asArray(gone['removed']).length > 0 ? 'Its directory is in the trash.' : 'Its directory stays where it is.'
  }

  async documents(agentId: string): Promise<readonly DocumentRow[]> {
    const found = await this.gateway.request('agents.files.list', { agentId })
    return asArray(found['files']).map((value) => {
      const file = asObject(value)
      return { name: asString(file['name']) ?? '', missing: asBoolean(file['missing']) ?? false, size: asNumber(file['size']) ?? 0 }
    })
  }

  async skills(agentId: string): Promise<readonly SkillRow[]> {
    return loadSkills(this.gateway, agentId)
  }

  async switchSkill(key: string, on: boolean): Promise<void> {
    await switchSkill(this.gateway, key, on)
  }

  async read(agentId: string, name: string): Promise<DocumentText> {
    return text(await this.gateway.request('agents.files.get', { agentId, name }))
  }

  async write(agentId: string, name: string, content: string, hash: string | undefined): Promise<DocumentText> {
    const guard = hash === undefined ? {} : { expectedHash: hash }
    return text(await this.gateway.request('agents.files.set', { agentId, name, content, ...guard }))
  }
}

function text(answer: JsonObject): DocumentText {
  const file = asObject(answer['file'])
  return { content: asString(file['content']) ?? '', hash: asString(file['hash']) }
}
