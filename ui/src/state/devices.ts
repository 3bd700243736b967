// The devices of the gateway: who asks to be let in, who is paired, and setup codes.
//
// Guarantees: what is shown is read again whenever the gateway says that something changed.

import { signal } from '@preact/signals'
import type { Hello } from '../protocol/hello'
import { asArray, asBoolean, asNumber, asObject, asString, type JsonObject } from '../protocol/json'
import type { Gateway } from './gateway'

export interface DeviceRequest {
  readonly requestId: string
  readonly deviceId: string
  readonly name: string
  readonly role: string
  readonly scopes: readonly string[]
  readonly from: string
  /** It is paired already, and asks for more or has changed. */
  readonly isRepair: boolean
  readonly at: number
}

export interface DeviceRole {
  readonly role: string
  readonly scopes: readonly string[]
}

export interface DeviceRow {
  readonly id: string
  readonly name: string
  readonly about: string
  readonly via: string
  readonly connected: boolean
  readonly lastSeen: number | undefined
  readonly roles: readonly DeviceRole[]
}

export type Access = 'full' | 'limited' | 'node'

export interface SetupCode {
  readonly setupId: string
  readonly code: string
  readonly picture: string
  readonly url: string
  readonly access: string
  readonly isDowngraded: boolean
  readonly expiresAt: number
}

const texts = (value: unknown): readonly string[] =>
  asArray(value).map(asString).filter((text) => text !== undefined)

const shortId = (id: string): string => id.slice(0, 12)

export function readRequest(value: unknown): DeviceRequest | undefined {
  const entry = asObject(value)
  const requestId = asString(entry['requestId'])
  const deviceId = asString(entry['deviceId'])
  if (requestId === undefined || deviceId === undefined) return undefined
  return {
    requestId,
    deviceId,
    name: asString(entry['displayName']) ?? asString(entry['platform']) ?? shortId(deviceId),
    role: asString(entry['role']) ?? 'operator',
    scopes: texts(entry['scopes']),
    from: asString(entry['remoteIp']) ?? '',
    isRepair: asBoolean(entry['isRepair']) ?? false,
    at: asNumber(entry['ts']) ?? 0,
  }
}

export function readDevice(value: unknown): DeviceRow | undefined {
  const entry = asObject(value)
  const id = asString(entry['deviceId'])
  if (id === undefined) return undefined
  const about = [asString(entry['clientId']), asString(entry['deviceFamily']) ?? asString(entry['platform'])]
  return {
    id,
    name: asString(entry['label']) ?? asString(entry['displayName']) ?? shortId(id),
    about: about.filter((text) => text !== undefined).join(' · '),
    via: asString(entry['approvedVia']) ?? '',
    connected: asBoolean(entry['connected']) ?? false,
    lastSeen: asNumber(entry['lastSeenAtMs']),
    roles: asArray(entry['tokens']).map(asObject)
      .filter((token) => token['revokedAtMs'] === undefined)
      .map((token) => ({ role: asString(token['role']) ?? '', scopes: texts(token['scopes']) })),
  }
}

/** What a role may do, in a few words. */
export function sayScopes(role: string, scopes: readonly string[]): string {
  const names = scopes.map((scope) => scope.replace(/^operator\./, ''))
  if (names.includes('admin')) return 'administrator'
  return names.length === 0 ? role : names.join(', ')
}

export class Devices {
  /** Undefined until it is known; stays so where the gateway does not offer it. */
  /** Whether this connection may see them: known at once, so that nothing moves in the bar later. */
  readonly offered = signal(false)
  readonly pending = signal<readonly DeviceRequest[] | undefined>(undefined)
  readonly paired = signal<readonly DeviceRow[]>([])
  /** Setups whose device has come, with its name. */
  readonly arrived = signal<ReadonlyMap<string, string>>(new Map())
  onNews: (text: string) => void = () => undefined
  private reading = 0

  constructor(private readonly gateway: Gateway) {}

  async connected(hello: Hello): Promise<void> {
    const mayIt = hello.scopes.has('operator.pairing') || hello.scopes.has('operator.admin')
    this.offered.value = mayIt && hello.methods.has('device.pair.list')
    if (this.offered.value) await this.load()
  }

  async load(): Promise<void> {
    const turn = ++this.reading
    const found = await this.gateway.tryRequest('device.pair.list', {})
    if (found === undefined || turn !== this.reading) return
    this.pending.value = asArray(found['pending']).map(readRequest).filter((one) => one !== undefined)
    this.paired.value = asArray(found['paired']).map(readDevice).filter((one) => one !== undefined)
  }

  heard(event: string, payload: JsonObject): void {
    if (event === 'device.pair.requested') this.onNews(`${readRequest(payload)?.name ?? 'A device'} asks to be let in`)
    if (event.startsWith('device.pair.setup.')) this.setupEnded(payload)
    void this.load()
  }

  async approve(requestId: string): Promise<void> {
    await this.change('device.pair.approve', { requestId })
  }

  async reject(requestId: string): Promise<void> {
    await this.change('device.pair.reject', { requestId })
  }

  async rename(deviceId: string, label: string): Promise<void> {
    await this.change('device.pair.rename', { deviceId, label })
  }

  async rotate(deviceId: string, role: string): Promise<void> {
    await this.change('device.token.rotate', { deviceId, role })
  }

  async revoke(deviceId: string, role: string): Promise<void> {
    await this.change('device.token.revoke', { deviceId, role })
  }

  async remove(deviceId: string): Promise<void> {
    await this.change('device.pair.remove', { deviceId })
  }

  async makeCode(access: Access, address: string): Promise<SetupCode> {
    const profile = access === 'full' ? {} : { bootstrapProfile: access }
    const told = address === '' ? {} : { publicUrl: address }
    const made = await this.gateway.request('device.pair.setupCode', { ...profile, ...told })
    return {
      setupId: asString(made['setupId']) ?? '',
      code: asString(made['setupCode']) ?? '',
      picture: asString(made['qrDataUrl']) ?? '',
      url: asString(made['gatewayUrl']) ?? '',
      access: asString(made['access']) ?? access,
      isDowngraded: asBoolean(made['accessDowngraded']) ?? false,
      expiresAt: asNumber(made['expiresAtMs']) ?? 0,
    }
  }

  /** Asks how a setup ended: the event may have come while we were away. */
  async look(setupId: string): Promise<void> {
    const answer = await this.gateway.tryRequest('device.pair.setupStatus', { setupId })
    const end = asObject(answer?.['completion'] ?? answer?.['deliveryUncertain'])
    if (asString(end['deviceId']) !== undefined) this.setupEnded(end)
  }

  private setupEnded(end: JsonObject): void {
    const setupId = asString(end['setupId'])
    if (setupId === undefined) return
    const name = asString(end['deviceName']) ?? shortId(asString(end['deviceId']) ?? '')
    if (!this.arrived.value.has(setupId)) this.onNews(`${name} is paired`)
    this.arrived.value = new Map([...this.arrived.value, [setupId, name] as const].slice(-20))
  }

  private async change(method: string, params: JsonObject): Promise<void> {
    await this.gateway.request(method, params)
    await this.load()
  }
}
