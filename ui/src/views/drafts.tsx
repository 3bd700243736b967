// What goes out with the next message, above the field: seen, and taken back.

import type { JSX } from 'preact'
import type { Draft } from '../state/attachments'
import { bytes, isDrawn } from '../state/files'
import { useStore } from './context'
import { useAddress } from './files'
import { Icon } from './icons'

export function Drafts({ sessionKey, onRemoved }: { sessionKey: string; onRemoved: () => void }): JSX.Element | null {
  const store = useStore()
  const { attachments } = store
  const drafts = attachments.of(sessionKey)
  if (drafts.length === 0) return null
  const remove = (draft: Draft): void => {
    attachments.remove(sessionKey, draft.id)
    store.announce(`${draft.file.name} removed`)
    onRemoved()
  }
  return (
    <ul class="drafts" aria-label="Files to send">
      {drafts.map((draft) => <DraftTile key={draft.id} draft={draft} onRemove={() => remove(draft)} />)}
    </ul>
  )
}

function DraftTile({ draft, onRemove }: { draft: Draft; onRemove: () => void }): JSX.Element {
  const { file, shrunkFrom } = draft
  const address = useAddress(isDrawn(file) ? file.blob : undefined)
  const size = shrunkFrom === undefined ? bytes(file.size) : `${bytes(file.size)}, made smaller from ${bytes(shrunkFrom)}`
  return (
    <li class="draft" title={`${file.name} · ${size}`}>
      <span class="draft-face">
        {isDrawn(file) ? address !== undefined && <img src={address} alt="" /> : <Icon name={file.kind === 'audio' || file.kind === 'video' ? 'play' : 'file'} />}
      </span>
      <span class="draft-text">
        <span class="draft-name">{file.name}</span>
        <span class="draft-size">{size}</span>
      </span>
      <button type="button" class="icon-button small" aria-label={`Remove ${file.name}`} title="Remove" onClick={onRemove}>
        <Icon name="close" />
      </button>
    </li>
  )
}

export function DraftProblems(): JSX.Element | null {
  const { attachments } = useStore()
  const problems = attachments.problems.value
  if (problems.length === 0) return null
  return (
    <div class="problem drafts-problem" role="alert">
      <Icon name="alert" />
      <div>{problems.map((problem) => <p key={problem}>{problem}</p>)}</div>
      <button type="button" class="icon-button small" aria-label="Dismiss" onClick={() => { attachments.problems.value = [] }}>
        <Icon name="close" />
      </button>
    </div>
  )
}
