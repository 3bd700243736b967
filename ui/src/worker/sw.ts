// The service worker: shows what the gateway pushes while no page is open, and leads back to it.
// Nothing else passes through it: no request, no cache.
//
// Guarantees: no import, so it is one plain script; what a push says is shown as text alone.
// Source: W3C, Push API and Service Workers.

interface PushEventLike extends Event {
  readonly data: { json(): unknown } | null
  waitUntil(work: Promise<unknown>): void
}

interface ClickEventLike extends Event {
  readonly notification: Notification
  waitUntil(work: Promise<unknown>): void
}

interface PageLike {
  readonly url: string
  readonly focused: boolean
  focus(): Promise<unknown>
  postMessage(message: unknown): void
}

interface WorkerScope {
  readonly registration: ServiceWorkerRegistration
  readonly clients: {
    matchAll(options: { type: 'window'; includeUncontrolled: boolean }): Promise<readonly PageLike[]>
    openWindow(url: string): Promise<unknown>
  }
  addEventListener(type: 'push', listener: (event: PushEventLike) => void): void
  addEventListener(type: 'notificationclick', listener: (event: ClickEventLike) => void): void
}

const worker = self as unknown as WorkerScope

const textOf = (said: Record<string, unknown>, name: string): string | undefined => {
  const value = said[name]
  return typeof value === 'string' ? value : undefined
}

function read(event: PushEventLike): Record<string, unknown> {
  try {
    const value = event.data?.json()
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {} // it is shown all the same: a browser takes the right away from who is silent
  }
}

async function pages(): Promise<readonly PageLike[]> {
  const all = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true })
  return all.filter((page) => page.url.startsWith(worker.registration.scope))
}

async function show(event: PushEventLike): Promise<void> {
  const said = read(event)
  const tag = textOf(said, 'tag')
  // Who looks at the page sees it there.
  if (tag !== 'test' && (await pages()).some((page) => page.focused)) return
  await worker.registration.showNotification(textOf(said, 'title') ?? 'Portico', {
    body: textOf(said, 'body') ?? '',
    data: { sessionKey: textOf(said, 'sessionKey') },
    ...(tag === undefined ? {} : { tag }),
  })
}

async function follow(notification: Notification): Promise<void> {
  notification.close()
  const { sessionKey } = (notification.data ?? {}) as { readonly sessionKey?: string }
  const [page] = await pages()
  if (page === undefined) {
    const place = sessionKey === undefined ? '' : `#session=${encodeURIComponent(sessionKey)}`
    await worker.clients.openWindow(worker.registration.scope + place)
    return
  }
  if (sessionKey !== undefined) page.postMessage({ type: 'portico.open', sessionKey })
  await page.focus()
}

worker.addEventListener('push', (event) => event.waitUntil(show(event)))
worker.addEventListener('notificationclick', (event) => event.waitUntil(follow(event.notification)))

export {}
