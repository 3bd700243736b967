// The messages an agent has drawn with: JSON Lines, all of one version of A2UI.

export type Message = Record<string, unknown>
export type Version = '0.8' | '0.9'

export interface Drawn {
  version: Version
  messages: Message[]
}

export function read(text: string): Drawn {
  const messages = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Message)
  return { version: messages[0]?.version === undefined ? '0.8' : '0.9', messages }
}

/** Where the page's own files are, relative to it: its address has a secret part. */
export function addresses(search: string): { messages: string; changes: string } {
  const agent = new URLSearchParams(search).get('agent')
  if (agent === null) return { messages: '../canvas/a2ui.jsonl', changes: '../changes/' }
  const id = encodeURIComponent(agent)
  return { messages: `../canvas/agents/${id}/a2ui.jsonl`, changes: `../changes/${id}` }
}
