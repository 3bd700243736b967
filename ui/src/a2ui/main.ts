// The page that draws what an agent says in A2UI. It holds nothing: the agent's file is the state.

import { addresses, read, type Version } from './messages'

const where = addresses(location.search)
const box = document.querySelector<HTMLElement>('#surfaces')!
const empty = document.querySelector<HTMLElement>('#empty')!
const problem = document.querySelector<HTMLElement>('#problem')!
let shown: Version | null = null

async function draw(): Promise<void> {
  const answer = await fetch(where.messages, { cache: 'no-store' })
  const { version, messages } = read(answer.ok ? await answer.text() : '')
  if (messages.length > 0) {
    // The elements of both versions have the same names; a page can know those of one.
    if (shown !== null && shown !== version) location.reload()
    shown = version
    const renderer = version === '0.8' ? await import('./v08') : await import('./v09')
    renderer.draw(messages, box)
  } else box.replaceChildren()
  empty.hidden = messages.length > 0
}

function update(): void {
  problem.hidden = true
  draw().catch((error: unknown) => {
    problem.textContent = `This cannot be drawn: ${error instanceof Error ? error.message : String(error)}`
    problem.hidden = false
    empty.hidden = true
  })
}

new EventSource(where.changes).addEventListener('changed', update)
update()
