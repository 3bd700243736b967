// "Are you sure?" — a native modal dialog: focus trap, Escape and backdrop come with it.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { sayError } from '../state/gateway'

export interface Question {
  readonly title: string
  readonly text: string
  readonly action: string
  readonly run: () => Promise<void>
}

export function Confirm({ question, onClose }: { question: Question; onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  const [error, setError] = useState('')
  const [busy, setBusy] = useState(false)
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    return () => {
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [])
  const run = async (): Promise<void> => {
    setBusy(true)
    try {
      await question.run()
      onClose()
    } catch (problem) {
      setError(sayError(problem))
      setBusy(false)
    }
  }
  return (
    <dialog ref={dialog} class="confirm" aria-labelledby="confirm-title" onClose={onClose}>
      <h2 id="confirm-title">{question.title}</h2>
      <p>{question.text}</p>
      <p class="confirm-error" role="alert">{error}</p>
      <div class="confirm-actions">
        <button type="button" class="button" onClick={() => dialog.current?.close()}>Cancel</button>
        <button type="button" class="button danger" disabled={busy} onClick={() => void run()}>{question.action}</button>
      </div>
    </dialog>
  )
}
