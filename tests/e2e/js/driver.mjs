// Drives the published gateway client: commands come as lines of JSON on stdin, what the client
// reports goes out as lines of JSON on stdout. The test on the other side decides everything.
import { createPrivateKey, createPublicKey, generateKeyPairSync, createHash, sign } from 'node:crypto'
import { createInterface } from 'node:readline'
import { GatewayClient } from '@openclaw/gateway-client'

const say = (report) => process.stdout.write(`${JSON.stringify(report)}\n`)

const failure = (error) => ({
  name: error.name,
  message: error.message,
  code: error.gatewayCode ?? error.code,
  details: error.details,
  retryable: error.retryable,
  payload: error.responsePayload,
})

// The raw ed25519 key is the last 32 bytes of its SubjectPublicKeyInfo.
const rawKey = (pem) => createPublicKey(pem).export({ type: 'spki', format: 'der' }).subarray(-32)

function newDevice() {
  const pair = generateKeyPairSync('ed25519', {
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const deviceId = createHash('sha256').update(rawKey(pair.publicKey)).digest('hex')
  return { deviceId, publicKeyPem: pair.publicKey, privateKeyPem: pair.privateKey }
}

const tokens = new Map()
const hostDeps = {
  signDevicePayload: (pem, payload) =>
    sign(null, Buffer.from(payload), createPrivateKey(pem)).toString('base64url'),
  publicKeyRawBase64UrlFromPem: (pem) => rawKey(pem).toString('base64url'),
  loadDeviceAuthToken: ({ deviceId, role }) => tokens.get(`${deviceId}/${role}`) ?? null,
  storeDeviceAuthToken: ({ deviceId, role, token, scopes }) => {
    tokens.set(`${deviceId}/${role}`, { token, scopes })
    say({ on: 'device-token', role, scopes })
  },
  clearDeviceAuthToken: ({ deviceId, role }) => tokens.delete(`${deviceId}/${role}`),
}

let client
const device = newDevice()

function start({ withDevice, ...options }) {
  client = new GatewayClient({
    ...options,
    hostDeps,
    deviceIdentity: withDevice ? device : null,
    onHelloOk: (hello) => say({ on: 'hello', hello }),
    onEvent: (event) => say({ on: 'event', ...event }),
    onGap: (gap) => say({ on: 'gap', ...gap }),
    onConnectError: (error) => say({ on: 'connect-error', error: failure(error) }),
    onReconnectPaused: (info) => say({ on: 'paused', ...info }),
    onClose: (code, reason, info) => say({ on: 'close', code, reason, phase: info?.phase }),
  })
  client.start()
}

async function request({ id, method, params, expectFinal }) {
  const options = { expectFinal, onAccepted: (payload) => say({ on: 'accepted', id, payload }) }
  try {
    say({ on: 'answer', id, ok: true, payload: await client.request(method, params, options) })
  } catch (error) {
    say({ on: 'answer', id, ok: false, error: failure(error) })
  }
}

const commands = { start, request, stop: () => client.stopAndWait() }
for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...args } = JSON.parse(line)
  void commands[op](args)
}
client?.stop()
process.exit(0)
