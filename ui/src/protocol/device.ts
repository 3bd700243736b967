// This browser's identity: one Ed25519 key, kept in local storage, that signs every connect.
// Pure JavaScript rather than WebCrypto, so it also works over plain http.
// Source: OpenClaw gateway protocol, device identity and signature (payload v3).

import { hashes, keygen, sign, getPublicKey } from '@noble/ed25519'
import { sha256, sha512 } from '@noble/hashes/sha2.js'

hashes.sha512 = sha512

const STORAGE_KEY = 'portico.device.v1'

export interface DeviceIdentity {
  readonly id: string
  readonly publicKey: string
  readonly secretKey: Uint8Array
}

export interface ConnectClaims {
  readonly clientId: string
  readonly clientMode: string
  readonly role: string
  readonly scopes: readonly string[]
  readonly token: string
  readonly nonce: string
  readonly signedAt: number
  readonly platform: string
}

export interface DeviceProof {
  readonly id: string
  readonly publicKey: string
  readonly signature: string
  readonly signedAt: number
  readonly nonce: string
}

export function base64url(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

export function fromBase64url(text: string): Uint8Array {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(binary, (character) => character.charCodeAt(0))
}

const toHex = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')

function identityOf(secretKey: Uint8Array): DeviceIdentity {
  const publicKey = getPublicKey(secretKey)
  return { id: toHex(sha256(publicKey)), publicKey: base64url(publicKey), secretKey }
}

export function loadDeviceIdentity(storage: Storage): DeviceIdentity {
  try {
    const saved = storage.getItem(STORAGE_KEY)
    if (saved !== null) {
      const secretKey = fromBase64url(saved)
      if (secretKey.length === 32) return identityOf(secretKey)
    }
  } catch {
    // Unreadable or forbidden storage: a fresh key works for this visit.
  }
  const { secretKey } = keygen()
  try {
    storage.setItem(STORAGE_KEY, base64url(secretKey))
  } catch {
    // Private browsing without storage: the key lives as long as the page.
  }
  return identityOf(secretKey)
}

export function signaturePayload(deviceId: string, claims: ConnectClaims): string {
  const { clientId, clientMode, role, scopes, signedAt, token, nonce, platform } = claims
  const fields = [clientId, clientMode, role, scopes.join(','), signedAt, token, nonce]
  return ['v3', deviceId, ...fields, platform.trim().toLowerCase(), ''].join('|')
}

export function proveDevice(device: DeviceIdentity, claims: ConnectClaims): DeviceProof {
  const payload = new TextEncoder().encode(signaturePayload(device.id, claims))
  return {
    id: device.id,
    publicKey: device.publicKey,
    signature: base64url(sign(payload, device.secretKey)),
    signedAt: claims.signedAt,
    nonce: claims.nonce,
  }
}
