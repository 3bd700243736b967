// Notifications and service workers of the browser this page runs in.

import type { BrowserSide } from './notifications'

/** What a click on a notification of this page leads to. */
type Follow = (sessionKey: string | undefined) => void

const worker = (): URL => new URL('./sw.js', document.baseURI)

async function registered(): Promise<ServiceWorkerRegistration | undefined> {
  return 'serviceWorker' in navigator ? navigator.serviceWorker.getRegistration(worker()) : undefined
}

async function register(): Promise<ServiceWorkerRegistration | undefined> {
  if (!('serviceWorker' in navigator)) return undefined
  await navigator.serviceWorker.register(worker())
  return navigator.serviceWorker.ready
}

export function browserSide(follow: Follow): BrowserSide {
  if ('serviceWorker' in navigator)
    navigator.serviceWorker.addEventListener('message', (event: MessageEvent<unknown>) => {
      const said = event.data as { readonly type?: unknown; readonly sessionKey?: unknown } | null
      if (said?.type === 'portico.open' && typeof said.sessionKey === 'string') follow(said.sessionKey)
    })
  return {
    isSecure: isSecureContext,
    permission: () => ('Notification' in window ? Notification.permission : undefined),
    ask: () => Notification.requestPermission(),
    register,
    registered,
    isHidden: () => document.visibilityState === 'hidden',
    show: async (title, options) => {
      const registration = await registered()
      // Browsers on phones only show those of a service worker.
      if (registration?.active) return registration.showNotification(title, options)
      const shown = new Notification(title, options)
      shown.onclick = () => {
        shown.close()
        window.focus()
        follow((options.data as { readonly sessionKey?: string } | undefined)?.sessionKey)
      }
    },
  }
}
