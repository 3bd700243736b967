// An agent's skills, as the Agents view shows them.

import { asArray, asBoolean, asObject, asString, type JsonObject } from '../protocol/json'
import type { Gateway } from './gateway'

export type Standing = 'ready' | 'off' | 'lacking' | 'barred'

export interface SkillRow {
  readonly key: string
  readonly name: string
  readonly emoji: string
  readonly description: string
  readonly standing: Standing
  /** What it lacks, and the commands that would help. */
  readonly missing: string
  readonly commands: readonly string[]
}

const KINDS = ['bins', 'anyBins', 'env', 'config', 'os']

export function readSkill(value: unknown): SkillRow {
  const skill = asObject(value)
  const missing = asObject(skill['missing'])
  return {
    key: asString(skill['skillKey']) ?? '',
    name: asString(skill['name']) ?? '',
    emoji: asString(skill['emoji']) ?? '',
    description: asString(skill['description']) ?? '',
    standing: standing(skill),
    missing: KINDS.flatMap((kind) => asArray(missing[kind])).map((one) => asString(one) ?? '').join(', '),
    commands: asArray(skill['install']).map((one) => asString(asObject(one)['command']) ?? '').filter((one) => one !== ''),
  }
}

function standing(skill: JsonObject): Standing {
  if (asBoolean(skill['disabled']) === true) return 'off'
  if (asBoolean(skill['blockedByAllowlist']) === true || asBoolean(skill['blockedByAgentFilter']) === true) return 'barred'
  return asBoolean(skill['eligible']) === true ? 'ready' : 'lacking'
}

/** Returns nothing where the gateway knows no skills. */
export async function loadSkills(gateway: Gateway, agentId: string): Promise<readonly SkillRow[]> {
  const found = await gateway.tryRequest('skills.status', { agentId })
  return asArray(found?.['skills']).map(readSkill)
}

export async function switchSkill(gateway: Gateway, key: string, on: boolean): Promise<void> {
  await gateway.request('skills.update', { skillKey: key, enabled: on })
}
