// Where you write. Enter sends, Shift+Enter breaks the line, Escape stops the answer.

import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { activeReply, waitingMessages } from '../state/chat-model'
import { useStore } from './context'
import { Icon, StopIcon } from './icons'

const coarse = matchMedia('(pointer: coarse)')

export function Composer(): JSX.Element {
  const { chats, connection } = useStore()
  const field = useRef<HTMLTextAreaElement>(null)
  const drafts = useRef(new Map<string, string>())
  const [empty, setEmpty] = useState(true)
  const key = chats.currentKey.value
  const busy = activeReply(chats.current.value) !== undefined || waitingMessages(chats.current.value).length > 0
  const offline = connection.value.phase !== 'connected'
  useEffect(() => {
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
    if (field.current === null || text === '') return
    field.current.value = ''
    changed()
    chats.send(text)
    field.current.focus()
  }
  const keyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && busy) void chats.stop()
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    send()
  }
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); send() }}>
      <div class="composer-box">
        <label class="offscreen" for="message">Message</label>
        <textarea
          ref={field} id="message" rows={1} placeholder="Write a message" enterkeyhint="send"
          aria-describedby="composer-hint" onInput={changed} onKeyDown={keyDown}
        />
        {busy && (
          <button type="button" class="round stop" aria-label="Stop the answer" title="Stop (Esc)" onClick={() => void chats.stop()}>
            <StopIcon />
          </button>
        )}
        {(!busy || !empty) && (
          <button type="submit" class="round send" aria-label="Send" title="Send (Enter)" disabled={empty}>
            <Icon name="send" />
          </button>
        )}
      </div>
      <p class="composer-hint" id="composer-hint">
        {offline
          ? 'Not connected. What you send now goes out when the connection is back.'
          : <><kbd>Enter</kbd> sends · <kbd>Shift</kbd> <kbd>Enter</kbd> new line</>}
      </p>
    </form>
  )
}

/** Grows with its text where the browser cannot do that by itself. */
function fit(box: HTMLTextAreaElement): void {
  if (CSS.supports('field-sizing', 'content')) return
  box.style.height = 'auto'
  box.style.height = `${Math.min(box.scrollHeight, 220)}px`
}
