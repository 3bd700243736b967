// Where you write, and what you attach. Enter sends, Shift+Enter breaks the line, Escape stops the
// answer. Files come by the button, by pasting, or dropped anywhere on the conversation.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Picked } from '../state/attachments'
import { activeReply, waitingMessages } from '../state/chat-model'
import { bytes } from '../state/files'
import { useStore } from './context'
import { DraftProblems, Drafts } from './drafts'
import { Icon, StopIcon } from './icons'

const coarse = matchMedia('(pointer: coarse)')

export function Composer(): JSX.Element {
  const store = useStore()
  const { chats, attachments } = store
  const field = useRef<HTMLTextAreaElement>(null)
  const drafts = useRef(new Map<string, string>())
  const [empty, setEmpty] = useState(true)
  const key = chats.currentKey.value
  const files = attachments.of(key)
  const reading = attachments.reading.value > 0
  const busy = activeReply(chats.current.value) !== undefined || waitingMessages(chats.current.value).length > 0
  const nothing = empty && files.length === 0
  useEffect(() => {
    attachments.problems.value = []
    if (field.current === null) return
    field.current.value = drafts.current.get(key) ?? ''
    changed()
    if (!coarse.matches) field.current.focus()
  }, [key])
  const changed = (): void => {
    const box = field.current
    if (box === null) return
    drafts.current.set(key, box.value)
    setEmpty(box.value.trim() === '')
    fit(box)
  }
  const send = (): void => {
    const text = field.current?.value.trim() ?? ''
    if (field.current === null || reading || (text === '' && files.length === 0)) return
    field.current.value = ''
    changed()
    chats.send(text, attachments.take(key))
    field.current.focus()
  }
  const keyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && busy) void chats.stop()
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    send()
  }
  const paste = (event: ClipboardEvent): void => {
    const pasted = [...(event.clipboardData?.files ?? [])]
    // Office programs put a picture of the text beside the text: then the text is meant.
    if (pasted.length === 0 || event.clipboardData?.getData('text/plain') !== '') return
    event.preventDefault()
    void attachments.add(key, pasted.map((file) => pickedFrom(file, 'paste')))
  }
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); send() }}>
      <DraftProblems />
      <div class="composer-box">
        <Drafts sessionKey={key} onRemoved={() => field.current?.focus()} />
        <label class="offscreen" for="message">Message</label>
        <textarea
          ref={field} id="message" rows={1} placeholder="Write a message" enterkeyhint="send"
          aria-describedby="composer-hint" onInput={changed} onKeyDown={keyDown} onPaste={paste}
        />
        {/* After the field: before it come the approvals, one step back from where one writes. */}
        <AttachButton sessionKey={key} onAdded={() => field.current?.focus()} />
        {busy && (
          <button type="button" class="round stop" aria-label="Stop the answer" title="Stop (Esc)" onClick={() => void chats.stop()}>
            <StopIcon />
          </button>
        )}
        {(!busy || !nothing) && (
          <button type="submit" class="round send" aria-label="Send" title="Send (Enter)" disabled={nothing || reading}>
            <Icon name="send" />
          </button>
        )}
      </div>
      <Hint sessionKey={key} />
    </form>
  )
}

/** The file input of the browser: on a phone it offers the camera and the photos, too. */
function AttachButton({ sessionKey, onAdded }: { sessionKey: string; onAdded: () => void }): JSX.Element {
  const { attachments } = useStore()
  const input = useRef<HTMLInputElement>(null)
  const picked = (): void => {
    const files = [...(input.current?.files ?? [])]
    if (input.current !== null) input.current.value = '' // so that the same file can be picked again
    if (files.length === 0) return
    void attachments.add(sessionKey, files.map((file) => pickedFrom(file, 'file'))).then(onAdded)
  }
  const { maxBytes, maxImageBytes } = attachments.limits()
  const title = `Attach files: up to ${bytes(maxBytes)} in a message, ${bytes(maxImageBytes)} for a picture`
  return (
    <>
      <input ref={input} class="offscreen" type="file" multiple tabIndex={-1} aria-hidden="true" onChange={picked} />
      <button type="button" class="round attach" aria-label="Attach files" title={title} onClick={() => input.current?.click()}>
        <Icon name="clip" />
      </button>
    </>
  )
}

function Hint({ sessionKey }: { sessionKey: string }): JSX.Element {
  const { attachments, connection } = useStore()
  const files = attachments.of(sessionKey)
  const size = files.reduce((sum, draft) => sum + draft.file.size, 0)
  return (
    <p class="composer-hint" id="composer-hint">
      {attachments.reading.value > 0
        ? 'Reading the files…'
        : connection.value.phase !== 'connected'
          ? 'Not connected. What you send now goes out when the connection is back.'
          : files.length > 0
            ? `${files.length === 1 ? '1 file' : `${files.length} files`}, ${bytes(size)} of ${bytes(attachments.limits().maxBytes)}`
            : <><kbd>Enter</kbd> sends · <kbd>Shift</kbd> <kbd>Enter</kbd> new line</>}
    </p>
  )
}

const NAMELESS: Readonly<Record<string, string>> = { 'image/png': 'picture.png', 'image/jpeg': 'picture.jpg' }

export const pickedFrom = (file: File, origin: Picked['origin']): Picked => ({
  name: file.name || (NAMELESS[file.type] ?? 'file'), blob: file, origin,
})

/** Grows with its text where the browser cannot do that by itself. */
function fit(box: HTMLTextAreaElement): void {
  if (CSS.supports('field-sizing', 'content')) return
  box.style.height = 'auto'
  box.style.height = `${Math.min(box.scrollHeight, 220)}px`
}
