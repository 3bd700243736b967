// What the rooms of this page may ask of the connection.

import { ConnectionLostError, GatewayError } from '../protocol/errors'
import type { GatewayClient } from '../protocol/client'
import type { JsonObject } from '../protocol/json'

export class Gateway {
  constructor(private readonly client: () => GatewayClient) {}

  request(method: string, params: JsonObject, timeoutMs?: number): Promise<JsonObject> {
    return this.client().request(method, params, timeoutMs)
  }

  /** For reads that are repeated anyway: no answer is not worth a message. */
  async tryRequest(method: string, params: JsonObject): Promise<JsonObject | undefined> {
    try {
      return await this.request(method, params)
    } catch (error) {
      if (error instanceof GatewayError || error instanceof ConnectionLostError) return undefined
      throw error
    }
  }
}

export const sayError = (error: unknown): string =>
  error instanceof Error ? error.message : 'Something went wrong.'
