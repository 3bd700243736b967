// Files dropped on the conversation. While some are held over it, it says what will happen.

import { useEffect, useState } from 'preact/hooks'
import type { JSX } from 'preact'
import { pickedFrom } from './composer'
import { useStore } from './context'
import { Icon } from './icons'

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true

export function DropZone({ target }: { target: { readonly current: HTMLElement | null } }): JSX.Element | null {
  const { attachments, chats } = useStore()
  const [isOver, setOver] = useState(false)
  useEffect(() => {
    let depth = 0
    const enter = (event: DragEvent): void => {
      if (!hasFiles(event)) return
      depth += 1
      setOver(true)
    }
    const leave = (event: DragEvent): void => {
      if (!hasFiles(event)) return
      depth = Math.max(0, depth - 1)
      if (depth === 0) setOver(false)
    }
    // Also beside the conversation: a browser would leave the page for a file it is handed.
    const over = (event: DragEvent): void => { if (hasFiles(event)) event.preventDefault() }
    const drop = (event: DragEvent): void => {
      if (!hasFiles(event)) return
      event.preventDefault()
      depth = 0
      setOver(false)
      if (!(event.target instanceof Node) || target.current?.contains(event.target) !== true) return
      const files = [...(event.dataTransfer?.files ?? [])].map((file) => pickedFrom(file, 'file'))
      void attachments.add(chats.currentKey.value, files)
      document.getElementById('message')?.focus()
    }
    addEventListener('dragenter', enter)
    addEventListener('dragleave', leave)
    addEventListener('dragover', over)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragenter', enter)
      removeEventListener('dragleave', leave)
      removeEventListener('dragover', over)
      removeEventListener('drop', drop)
    }
  }, [attachments, chats, target])
  if (!isOver) return null
  return <div class="drop" aria-hidden="true"><p><Icon name="clip" />Drop the files here</p></div>
}
