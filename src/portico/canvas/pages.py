"""Pages of ours in place of an agent's, or around one: an empty canvas, a frame, a line of code.

The frame is a page with an origin of its own. It says that it is there, and puts the page it is
then sent by its parent into a frame inside; what the two say to each other it passes on.

Source: MCP Apps (SEP-1865), "Sandbox proxy"; OpenClaw gateway protocol, "canvas.document.view".
"""

from __future__ import annotations

EMPTY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>Canvas</title>
<style>
html{color-scheme:light dark;height:100%}
body{display:grid;place-items:center;min-height:100%;margin:0;font:15px/1.5 system-ui,sans-serif}
p{max-width:32em;padding:1.5em;text-align:center;opacity:.7}
</style></head>
<body><p>Nothing is drawn here yet.</p></body></html>
"""

SANDBOX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox</title>
<style>html,body{height:100%;margin:0}iframe{display:block;width:100%;height:100%;border:0}</style>
</head><body><script>
(() => {
  const OURS = 'ui/notifications/sandbox-'
  let inner = null
  const tell = (method, params) => parent.postMessage({ jsonrpc: '2.0', method, params }, '*')
  const show = ({ html, renderId, allowScripts }) => {
    const frame = document.createElement('iframe')
    frame.setAttribute('sandbox', allowScripts === false ? '' : 'allow-scripts')
    frame.addEventListener('load', () => {
      if (frame === inner && typeof renderId === 'string') {
        tell(OURS + 'resource-loaded', { renderId })
      }
    }, { once: true })
    frame.srcdoc = html
    if (inner) inner.replaceWith(frame)
    else document.body.append(frame)
    inner = frame
  }
  addEventListener('message', (event) => {
    const method = event.data?.method
    const isOurs = typeof method === 'string' && method.startsWith(OURS)
    if (event.source === parent) {
      if (method === OURS + 'resource-ready') {
        if (typeof event.data.params?.html === 'string') show(event.data.params)
      } else if (!isOurs) inner?.contentWindow?.postMessage(event.data, '*')
    } else if (inner && event.source === inner.contentWindow && !isOurs) {
      parent.postMessage(event.data, '*')
    }
  })
  if (parent !== window) tell(OURS + 'proxy-ready', { sandboxUrl: location.href })
})()
</script></body></html>
"""
SANDBOX_HEADERS = {
    "content-security-policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors http: https:"
    ),
    "cache-control": "no-cache",
    "cross-origin-resource-policy": "cross-origin",
}

_RELOAD = (
    '<script>new EventSource("{url}").addEventListener("changed",()=>location.reload())</script>'
)


def with_live_reload(page: bytes, url: str) -> bytes:
    """Return a page that loads itself again when the stream at an address says so.

    Args:
        url: of server-sent events; fit to stand in a script.
    """
    script = _RELOAD.replace("{url}", url).encode()
    at = page.lower().rfind(b"</body>")
    return page + script if at < 0 else page[:at] + script + page[at:]
