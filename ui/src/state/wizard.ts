// Setting the gateway up: one question after another, as the gateway asks them.
//
// Guarantees: nothing is changed before the last answer; what was typed into a field for secrets is
// not kept here once it is sent.
// Source: OpenClaw gateway protocol, "wizard" (`WizardStep`).

import { signal } from '@preact/signals'
import { GatewayError } from '../protocol/errors'
import { asArray, asBoolean, asObject, asString, type JsonObject } from '../protocol/json'
import { sayError, type Gateway } from './gateway'

export type Flow = 'model' | 'channels' | 'setup'

export interface WizardOption {
  readonly value: unknown
  readonly label: string
  readonly hint: string
}

export interface WizardStep {
  readonly id: string
  readonly type: string
  readonly title: string
  readonly message: string
  readonly options: readonly WizardOption[]
  readonly initialValue: unknown
  readonly placeholder: string
  readonly sensitive: boolean
  /** Where something has to be done outside. */
  readonly externalUrl: string
  readonly code: string
}

export type WizardState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'asks'; readonly step: WizardStep; readonly error: string; readonly canGoBack: boolean }
  | { readonly kind: 'done'; readonly channels: readonly string[] }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: string }

/** A look-up outside, such as of a provider's models, is part of an answer. */
const ANSWER_MS = 90_000
const POLL_MS = 1000

export class Wizard {
  readonly state = signal<WizardState>({ kind: 'starting' })
  readonly busy = signal(false)
  private sessionId: string | undefined
  private readonly said = new Map<string, unknown>()
  private answered = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly gateway: Gateway) {}

  async start(flow: Flow): Promise<void> {
    this.sessionId = undefined
    this.answered = 0
    this.said.clear()
    this.state.value = { kind: 'starting' }
    await this.ask('wizard.start', { flow })
  }

  /** What the person said to this step before, where it may be shown again. */
  earlier(step: WizardStep): unknown {
    return this.said.get(step.id) ?? step.initialValue
  }

  async answer(step: WizardStep, value?: unknown): Promise<void> {
    if (!step.sensitive) this.said.set(step.id, value)
    this.answered += 1
    const answer = { stepId: step.id, ...(value === undefined ? {} : { value }) }
    await this.ask('wizard.next', { sessionId: this.sessionId, answer })
  }

  async back(): Promise<void> {
    this.answered -= 1
    await this.ask('wizard.next', { sessionId: this.sessionId, back: true })
  }

  /** The question again, after something came in between. */
  async again(): Promise<void> {
    await this.ask('wizard.next', { sessionId: this.sessionId })
  }

  /** Nobody goes on with it: the gateway forgets it, and what was typed. */
  leave(): void {
    clearTimeout(this.timer)
    const sessionId = this.sessionId
    this.sessionId = undefined
    this.said.clear()
    if (sessionId !== undefined && this.state.value.kind === 'asks') void this.gateway.tryRequest('wizard.cancel', { sessionId })
  }

  private async ask(method: string, params: JsonObject): Promise<void> {
    clearTimeout(this.timer)
    this.busy.value = true
    try {
      this.take(await this.gateway.request(method, params, ANSWER_MS))
    } catch (error) {
      this.failed(error)
    } finally {
      this.busy.value = false
    }
  }

  private take(answer: JsonObject): void {
    this.sessionId = asString(answer['sessionId']) ?? this.sessionId
    const error = asString(answer['error']) ?? ''
    const before = this.state.value
    // A refused answer leaves the question where it was.
    if (error !== '' && before.kind === 'asks') this.answered = Math.max(0, this.answered - 1)
    if (answer['done'] !== true && answer['step'] !== undefined && answer['step'] !== null) {
      const step = readStep(answer['step'])
      this.state.value = { kind: 'asks', step, error, canGoBack: this.answered > 0 }
      if (step.type === 'progress') this.timer = setTimeout(() => void this.again(), POLL_MS)
      return
    }
    this.sessionId = undefined
    const status = asString(answer['status'])
    if (status === 'done') this.state.value = { kind: 'done', channels: asArray(answer['channels']).map(String) }
    else if (status === 'cancelled') this.state.value = { kind: 'cancelled' }
    else this.state.value = { kind: 'failed', error: error || 'The gateway gave up.' }
  }

  private failed(error: unknown): void {
    const state = this.state.value
    if (error instanceof GatewayError && error.detailCode === 'WIZARD_NOT_FOUND') {
      this.sessionId = undefined
      this.state.value = { kind: 'failed', error: 'The gateway has forgotten these questions: they waited too long, or it was restarted.' }
    } else if (state.kind === 'asks') this.state.value = { ...state, error: sayError(error) }
    else this.state.value = { kind: 'failed', error: sayError(error) }
  }
}

export function readStep(value: unknown): WizardStep {
  const step = asObject(value)
  const options = asArray(step['options']).map((one) => {
    const option = asObject(one)
    return { value: option['value'], label: asString(option['label']) ?? '', hint: asString(option['hint']) ?? '' }
  })
  return {
    id: asString(step['id']) ?? '',
    type: asString(step['type']) ?? 'note',
    title: asString(step['title']) ?? '',
    message: asString(step['message']) ?? asString(asObject(step['deviceCode'])['message']) ?? '',
    options,
    initialValue: step['initialValue'],
    placeholder: asString(step['placeholder']) ?? '',
    sensitive: asBoolean(step['sensitive']) ?? false,
    externalUrl: /^https?:\/\//.test(asString(step['externalUrl']) ?? '') ? (asString(step['externalUrl']) ?? '') : '',
    code: asString(asObject(step['deviceCode'])['code']) ?? '',
  }
}
