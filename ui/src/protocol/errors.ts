// What can go wrong on the wire, and how to say it to a person.

import { asBoolean, asNumber, asObject, asString, type JsonObject } from './json'

export class GatewayError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly details: JsonObject = {},
    readonly retryAfterMs?: number,
    readonly retryable: boolean = false,
  ) {
    super(message)
    this.name = 'GatewayError'
  }

  /** The precise reason, when the gateway gave one. */
  get detailCode(): string {
    return asString(this.details['code']) ?? this.code
  }
}

/** The request may or may not have reached the gateway: the connection went away first. */
export class ConnectionLostError extends Error {
  constructor() {
    super('The connection was lost before the gateway answered.')
    this.name = 'ConnectionLostError'
  }
}

export function toGatewayError(value: unknown): GatewayError {
  const error = asObject(value)
  return new GatewayError(
    asString(error['code']) ?? 'UNAVAILABLE',
    asString(error['message']) ?? 'The gateway refused without saying why.',
    asObject(error['details']),
    asNumber(error['retryAfterMs']),
    asBoolean(error['retryable']) ?? false,
  )
}

export interface Refusal {
  readonly title: string
  readonly text: string
  readonly requestId?: string
}

/** True when trying again with the same credentials cannot help. */
export function isFinalRefusal(error: GatewayError): boolean {
  if (error.retryable || error.detailCode === 'AUTH_RATE_LIMITED') return false
  return /^(AUTH_|PAIRING_|DEVICE_|CONTROL_UI_|PROTOCOL_)/.test(error.detailCode)
}

export const needsPassword = (error: GatewayError): boolean =>
  error.detailCode === 'AUTH_PASSWORD_MISSING'

export const isMissingCredential = (error: GatewayError): boolean =>
  /^AUTH_(TOKEN_MISSING|PASSWORD_MISSING|REQUIRED)$/.test(error.detailCode)

export function describeRefusal(error: GatewayError): Refusal {
  const code = error.detailCode
  const requestId = asString(error.details['requestId'])
  if (code === 'AUTH_TOKEN_MISMATCH' || code === 'AUTH_PASSWORD_MISMATCH')
    return { title: 'That is not the right token', text: 'The gateway did not accept it. Check for a missing character and try again.' }
  if (isMissingCredential(error))
    return { title: 'A token is needed', text: 'This gateway does not let anyone in without one.' }
  if (code === 'AUTH_RATE_LIMITED')
    return { title: 'Too many attempts', text: 'The gateway is not taking another try just yet. Wait a moment.' }
  if (code === 'PAIRING_REQUIRED')
    return {
      title: 'This browser is waiting for approval',
      text: 'Approve it on the gateway or from a device that is already paired. This page keeps trying.',
      ...(requestId === undefined ? {} : { requestId }),
    }
  if (code === 'CONTROL_UI_ORIGIN_NOT_ALLOWED')
    return { title: 'This address is not allowed', text: `Add ${location.origin} to gateway.controlUi.allowedOrigins, or open the page from the gateway's own address.` }
  if (code === 'DEVICE_AUTH_SIGNATURE_EXPIRED')
    return { title: 'The clocks disagree', text: 'The clock of this device is more than two minutes away from the gateway’s.' }
  if (code === 'PROTOCOL_MISMATCH')
    return { title: 'This page is out of date', text: 'The gateway was updated. Reload the page.' }
  return { title: 'The gateway said no', text: error.message }
}
