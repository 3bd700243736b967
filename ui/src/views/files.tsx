// Files of a message: pictures as pictures, sounds and videos with a player, all others by name.
//
// Guarantees: nothing moves when a picture has loaded, and none is fetched before it comes near
// the screen; a sound or video is fetched when it is to be played.

import '../styles/files.css'
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { bytes, isDrawn, isLoadable, type MessageFile } from '../state/files'
import { sayError } from '../state/gateway'
import { useStore } from './context'
import { Icon } from './icons'

const NEAR = '600px'
/** A picture of fewer lines is not blown up. */
const SMALL = 120

export function Files({ files }: { files: readonly MessageFile[] }): JSX.Element {
  const pictures = files.filter(isDrawn)
  const others = files.filter((file) => !isDrawn(file))
  return (
    <div class="files">
      {pictures.length > 0 && (
        <ul class={`pictures ${pictures.length === 1 ? 'is-one' : ''}`} aria-label="Pictures">
          {pictures.map((file, index) => <li key={index}><Picture file={file} /></li>)}
        </ul>
      )}
      {others.length > 0 && (
        <ul class="chips" aria-label="Files">
          {others.map((file, index) => <li key={index}><OtherFile file={file} /></li>)}
        </ul>
      )}
    </div>
  )
}

/** An address of these bytes for as long as somebody shows them. */
export function useAddress(blob: Blob | undefined): string | undefined {
  const [address, setAddress] = useState<string | undefined>(undefined)
  useEffect(() => {
    if (blob === undefined) return undefined
    const made = URL.createObjectURL(blob)
    setAddress(made)
    return () => URL.revokeObjectURL(made)
  }, [blob])
  return blob === undefined ? undefined : address
}

function Picture({ file }: { file: MessageFile }): JSX.Element {
  const { media } = useStore()
  const frame = useRef<HTMLButtonElement>(null)
  const [blob, setBlob] = useState(file.blob)
  const [problem, setProblem] = useState('')
  const [isOpen, setOpen] = useState(false)
  const [isSmall, setSmall] = useState(false)
  const address = useAddress(blob) ?? file.url
  useEffect(() => {
    if (blob !== undefined || file.url !== undefined || frame.current === null) return undefined
    const observer = new IntersectionObserver((seen) => {
      if (!seen.some((one) => one.isIntersecting)) return
      observer.disconnect()
      media.load(file).then(setBlob, (error: unknown) => setProblem(sayError(error)))
    }, { rootMargin: NEAR })
    observer.observe(frame.current)
    return () => observer.disconnect()
  }, [file.sha256])
  if (problem !== '') return <Chip file={file} note={problem} />
  return (
    <>
      <button
        ref={frame} type="button" class="picture" aria-label={`Show ${file.name}`} aria-busy={address === undefined}
        disabled={address === undefined} onClick={() => setOpen(true)}
      >
        {address !== undefined && (
          <img
            src={address} alt={file.name} class={isSmall ? 'is-small' : ''} decoding="async"
            onLoad={(event) => setSmall(event.currentTarget.naturalHeight < SMALL)} onError={() => setProblem('It could not be shown.')}
          />
        )}
      </button>
      {isOpen && address !== undefined && <Large file={file} address={address} onClose={() => setOpen(false)} />}
    </>
  )
}

function Large({ file, address, onClose }: { file: MessageFile; address: string; onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const returnTo = document.activeElement
    dialog.current?.showModal()
    return () => {
      if (returnTo instanceof HTMLElement) returnTo.focus()
    }
  }, [])
  return (
    <dialog ref={dialog} class="large" aria-label={file.name} onClose={onClose} onClick={(event) => {
      if (event.target === event.currentTarget) dialog.current?.close()
    }}>
      <header>
        <span class="large-name">{file.name}</span>
        {file.size !== undefined && <span class="large-size">{bytes(file.size)}</span>}
        <a class="icon-button" href={address} download={file.name} aria-label={`Save ${file.name}`} title="Save"><Icon name="save" /></a>
        <button type="button" class="icon-button" aria-label="Close" title="Close (Esc)" onClick={() => dialog.current?.close()}><Icon name="close" /></button>
      </header>
      <img src={address} alt={file.name} />
    </dialog>
  )
}

function OtherFile({ file }: { file: MessageFile }): JSX.Element {
  const isPlayed = file.kind === 'audio' || file.kind === 'video'
  if (!isLoadable(file)) return <Chip file={file} note={file.note ?? 'not kept'} />
  if (isPlayed) return <Player file={file} />
  return <Chip file={file} note="" />
}

/** The bytes on demand, with what went wrong. */
function useBytes(file: MessageFile): { blob: Blob | undefined; busy: boolean; problem: string; load: () => Promise<Blob | undefined> } {
  const { media } = useStore()
  const [blob, setBlob] = useState(file.blob)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState('')
  const load = async (): Promise<Blob | undefined> => {
    setBusy(true)
    setProblem('')
    try {
      const found = await media.load(file)
      setBlob(found)
      return found
    } catch (error) {
      setProblem(sayError(error))
      return undefined
    } finally {
      setBusy(false)
    }
  }
  return { blob, busy, problem, load }
}

function Chip({ file, note }: { file: MessageFile; note: string }): JSX.Element {
  const { busy, problem, load } = useBytes(file)
  const about = [file.size === undefined ? '' : bytes(file.size), problem || note].filter((text) => text !== '').join(' · ')
  const save = async (): Promise<void> => {
    const blob = await load()
    if (blob !== undefined) saveAs(blob, file.name)
  }
  return (
    <div class={`chip ${problem || note ? 'is-gone' : ''}`}>
      <Icon name="file" />
      <span class="chip-text">
        <span class="chip-name" title={file.name}>{file.name}</span>
        {about !== '' && <span class="chip-about" role={problem === '' ? undefined : 'alert'}>{about}</span>}
      </span>
      {isLoadable(file) && (
        <button type="button" class="icon-button small" disabled={busy} aria-label={`Save ${file.name}`} title="Save" onClick={() => void save()}>
          <Icon name="save" />
        </button>
      )}
    </div>
  )
}

function saveAs(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 60_000)
}

function Player({ file }: { file: MessageFile }): JSX.Element {
  const { blob, busy, problem, load } = useBytes(file)
  const [wanted, setWanted] = useState(false)
  const [silent, setSilent] = useState(false)
  const address = useAddress(wanted ? blob : undefined)
  const play = (): void => {
    setWanted(true)
    if (blob === undefined) void load()
  }
  if (problem !== '' || silent) return <Chip file={file} note={problem || 'This browser cannot play it.'} />
  const facts = { src: address, controls: true, autoPlay: true, 'aria-label': file.name, onError: () => setSilent(true) }
  return (
    <figure class={`player is-${file.kind}`}>
      {address === undefined
        ? (
          <button type="button" class="chip" disabled={busy} aria-label={`Play ${file.name}`} onClick={play}>
            <Icon name="play" />
            <span class="chip-text">
              <span class="chip-name">{file.name}</span>
              {file.size !== undefined && <span class="chip-about">{bytes(file.size)}</span>}
            </span>
          </button>
        )
        : file.kind === 'video' ? <video {...facts} playsInline /> : <audio {...facts} />}
      {file.transcript !== undefined && file.transcript !== '' && <figcaption>“{file.transcript}”</figcaption>}
    </figure>
  )
}
