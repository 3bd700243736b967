// The gateway's configuration as a form: fields from its schema, what stands in them, what was
// changed and what that would do. Nothing is written before the plan of it was seen.
//
// Guarantees: only changed places are sent, as one merge patch against the text that was read; a
// secret is never shown, and what was typed into its field is gone when it is written.
// Source: docs/configuration.md; OpenClaw gateway protocol, `config.schema`, `config.patch`.

import { computed, signal } from '@preact/signals'
import { ConnectionLostError, GatewayError } from '../protocol/errors'
import { asArray, asBoolean, asNumber, asObject, asString, isObject, type JsonObject } from '../protocol/json'
import { sayError, type Gateway } from './gateway'

export type FieldKind = 'text' | 'number' | 'boolean' | 'choice' | 'list' | 'secret' | 'json'

export interface ConfigField {
  readonly path: string
  readonly kind: FieldKind
  readonly label: string
  readonly help: string
  /** The groups it is in, below its section. */
  readonly group: string
  readonly choices: readonly string[]
  readonly isWhole: boolean
}

export interface ConfigSection {
  readonly name: string
  readonly label: string
  readonly help: string
  readonly fields: readonly ConfigField[]
}

export interface PlannedChange {
  readonly path: string
  readonly effect: string
}

export interface ConfigPlan {
  readonly action: string
  readonly changes: readonly PlannedChange[]
}

const MAX_DEPTH = 8
const SAVE_MS = 120_000
const HIDDEN = new Set(['$schema'])

export class Config {
  readonly sections = signal<readonly ConfigSection[] | undefined>(undefined)
  readonly problem = signal('')
  /** By path: what is to be written; null: what the file says there is taken out. */
  readonly edits = signal<ReadonlyMap<string, unknown>>(new Map())
  /** By path: what was typed is no value yet. */
  readonly refusals = signal<ReadonlyMap<string, string>>(new Map())
  /** By path: why the gateway does not take it. */
  readonly issues = signal<ReadonlyMap<string, string>>(new Map())
  readonly plan = signal<ConfigPlan | undefined>(undefined)
  readonly busy = signal(false)
  readonly changed = computed(() => this.edits.value.size)
  private readonly file = signal<JsonObject>({})
  private readonly held = signal<JsonObject>({})
  private hash = ''
  /** The hash of what a save began from whose end was not heard: the gateway restarted over it. */
  private unheard: string | undefined

  constructor(private readonly gateway: Gateway) {}

  load(): Promise<boolean> {
    return this.attempt(async () => {
      const [described, read] = await Promise.all([
        this.sections.value === undefined ? this.gateway.request('config.schema', {}) : undefined,
        this.gateway.request('config.get', {}),
      ])
      this.take(read)
      if (described !== undefined) this.sections.value = readSections(asObject(described['schema']), asObject(described['uiHints']))
    })
  }

  /** The gateway is there, perhaps again. */
  async connected(): Promise<void> {
    if (!(await this.load())) return
    if (this.unheard !== undefined && this.unheard !== this.hash) this.discard()
    this.unheard = undefined
  }

  /** What the file says; undefined: nothing. */
  written(path: string): unknown {
    return at(this.file.value, path)
  }

  /** What holds now, wherever it comes from. */
  effective(path: string): unknown {
    return at(this.held.value, path)
  }

  edit(path: string, value: unknown): void {
    const next = new Map(this.edits.value)
    const now = this.written(path)
    if (same(value, now) || (value === null && now === undefined)) next.delete(path)
    else next.set(path, value)
    this.edits.value = next
    this.plan.value = undefined
    this.issues.value = new Map() // one may have been wrong because of another
    this.refuse(path, undefined)
  }

  /** Say that what was typed into a field is none of its values; undefined: it is. */
  refuse(path: string, why: string | undefined): void {
    const refusals = new Map(this.refusals.value)
    if (why === undefined) refusals.delete(path)
    else refusals.set(path, why)
    this.refusals.value = refusals
  }

  discard(): void {
    this.edits.value = new Map()
    this.refusals.value = new Map()
    this.issues.value = new Map()
    this.plan.value = undefined
    this.problem.value = ''
  }

  /** Ask what the changes would do. */
  async review(): Promise<void> {
    await this.attempt(async () => {
      const answer = await this.gateway.request('config.plan', { patch: this.patch(), replacePaths: this.whole() })
      if (answer['valid'] === false) this.takeIssues(asArray(answer['issues']))
      else
        this.plan.value = {
          action: asString(answer['action']) ?? '',
          changes: asArray(answer['changes']).map((one) => {
            const change = asObject(one)
            return { path: asString(change['path']) ?? '', effect: asString(change['effect']) ?? '' }
          }),
        }
    })
  }

  /** Write them; true: they are written. */
  async save(): Promise<boolean> {
    const params = { raw: this.patch(), baseHash: this.hash, replacePaths: this.whole() }
    const isSaved = await this.attempt(() => this.gateway.request('config.patch', params, SAVE_MS))
    if (!isSaved) return false
    this.discard()
    await this.load()
    return true
  }

  /** Where a value takes the place of the one before, in place of being merged into it. */
  private whole(): string[] {
    return [...this.edits.value].filter(([, value]) => typeof value === 'object' && value !== null).map(([path]) => path)
  }

  private take(read: JsonObject): void {
    this.hash = asString(read['hash']) ?? ''
    this.file.value = asObject(read['sourceConfig'])
    this.held.value = asObject(read['runtimeConfig'])
  }

  private patch(): string {
    return JSON.stringify(patchOf(this.edits.value))
  }

  private async attempt(work: () => Promise<unknown>): Promise<boolean> {
    this.busy.value = true
    this.problem.value = ''
    try {
      await work()
      return true
    } catch (error) {
      await this.failed(error)
      return false
    } finally {
      this.busy.value = false
    }
  }

  private async failed(error: unknown): Promise<void> {
    if (isConflict(error)) {
      this.plan.value = undefined
      const read = await this.gateway.tryRequest('config.get', {})
      if (read !== undefined) this.take(read)
      this.problem.value = 'Somebody else has changed the configuration meanwhile. It was read again; your changes are still here: look at them once more.'
      return
    }
    if (error instanceof ConnectionLostError) {
      this.unheard ??= this.hash
      this.problem.value = 'The gateway is away, perhaps to restart; this view waits for it.'
      return
    }
    if (error instanceof GatewayError) this.takeIssues(asArray(error.details['issues']))
    this.problem.value = sayError(error)
  }

  private takeIssues(issues: readonly unknown[]): void {
    const found = issues.map((one) => asObject(one)).filter((one) => asString(one['severity']) !== 'warning')
    const fields = (this.sections.value ?? []).flatMap((section) => section.fields)
    const placed = new Map<string, string>()
    const elsewhere: string[] = []
    for (const issue of found) {
      const path = asString(issue['path']) ?? ''
      const text = asString(issue['message']) ?? ''
      const field = fields.find((one) => path === one.path || path.startsWith(`${one.path}.`) || path.startsWith(`${one.path}[`))
      if (field === undefined) elsewhere.push(path === '' ? text : `${path}: ${text}`)
      else placed.set(field.path, text)
    }
    this.issues.value = placed
    if (elsewhere.length > 0) this.problem.value = elsewhere.join(' ')
    else if (placed.size > 0) this.problem.value = `Not taken: ${[...placed.keys()].join(', ')}. The reason stands at each.`
  }
}

const isConflict = (error: unknown): boolean =>
  error instanceof GatewayError && /changed since last load/.test(error.message)

export function readSections(schema: JsonObject, hints: JsonObject): ConfigSection[] {
  return Object.entries(asObject(schema['properties'])).filter(([name]) => !HIDDEN.has(name)).map(([name, node]) => {
    const hint = asObject(hints[name])
    return {
      name,
      label: asString(hint['label']) ?? name,
      help: asString(hint['help']) ?? '',
      fields: fieldsOf(asObject(node), [name], [], hints),
    }
  })
}

function fieldsOf(node: JsonObject, path: readonly string[], groups: readonly string[], hints: JsonObject): ConfigField[] {
  const inner = Object.entries(asObject(node['properties']))
  if (inner.length > 0 && path.length < MAX_DEPTH)
    return inner.flatMap(([name, one]) => {
      const below = asObject(one)
      const label = asString(asObject(hints[[...path, name].join('.')])['label']) ?? name
      const isGroup = Object.keys(asObject(below['properties'])).length > 0
      return fieldsOf(below, [...path, name], isGroup ? [...groups, label] : groups, hints)
    })
  const written = path.join('.')
  const hint = asObject(hints[written])
  return [{
    path: written,
    kind: hint['sensitive'] === true ? 'secret' : kindOf(node),
    label: asString(hint['label']) ?? path.at(-1) ?? '',
    help: asString(hint['help']) ?? asString(node['description']) ?? '',
    group: groups.join(' · '),
    choices: asArray(node['enum']).map(String),
    isWhole: node['type'] === 'integer',
  }]
}

const SIMPLE: Readonly<Record<string, FieldKind>> = { string: 'text', integer: 'number', number: 'number', boolean: 'boolean' }

function kindOf(node: JsonObject): FieldKind {
  if (asArray(node['enum']).length > 0 && asArray(node['enum']).every((one) => typeof one === 'string')) return 'choice'
  const type = asString(node['type']) ?? ''
  if (type === 'array') return asString(asObject(node['items'])['type']) === 'string' ? 'list' : 'json'
  return SIMPLE[type] ?? 'json'
}

/** The changes as one merge patch. */
export function patchOf(edits: ReadonlyMap<string, unknown>): JsonObject {
  const patch: Record<string, unknown> = {}
  for (const [path, value] of edits) {
    const steps = path.split('.')
    let place = patch
    for (const step of steps.slice(0, -1)) {
      const below = place[step]
      place = (isObject(below) ? below : (place[step] = {})) as Record<string, unknown>
    }
    place[steps.at(-1) ?? ''] = value
  }
  return patch
}

function at(tree: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((node, step) => (isObject(node) ? node[step] : undefined), tree)
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

/** A value on one line, as a person would write it. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (asBoolean(value) !== undefined) return value === true ? 'on' : 'off'
  if (asNumber(value) !== undefined || typeof value === 'string') return String(value)
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value.join(', ')
  return JSON.stringify(value)
}

/** A field whose words have all that is looked for. */
export function matches(field: ConfigField, wanted: string): boolean {
  const text = `${field.path} ${field.label} ${field.help}`.toLowerCase()
  return wanted.toLowerCase().split(/\s+/).every((word) => text.includes(word))
}
