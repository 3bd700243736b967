import './styles/tokens.css'
import './styles/base.css'
import './styles/layout.css'
import './styles/door.css'
import './styles/sidebar.css'
import './styles/chat.css'
import './styles/prose.css'
import './styles/approvals.css'
import { render } from 'preact'
import type { SocketLike } from './protocol/client'
import { browserSide } from './state/browser-side'
import { openStorage } from './state/storage'
import { Store } from './state/store'
import { loadTheme } from './state/theme'
import { App } from './views/app'
import { StoreContext } from './views/context'
import { loadMarkdown } from './views/prose'

/** The WebSocket of the gateway this page came from, base path included. */
function gatewayUrl(base: string): string {
  const url = new URL('./', base)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  url.search = ''
  url.hash = ''
  return url.href
}

const openSocket = (url: string): SocketLike => new WebSocket(url) as SocketLike

const places = {
  session: openStorage(() => window.sessionStorage),
  device: openStorage(() => window.localStorage),
}
loadTheme(places.device)
const store = new Store(places, gatewayUrl(document.baseURI), openSocket, browserSide)
const root = document.getElementById('app')
if (root !== null) {
  render(<StoreContext.Provider value={store}><App /></StoreContext.Provider>, root)
  store.start()
  void loadMarkdown()
}
