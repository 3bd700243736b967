// The few icons the page needs, drawn inline as elements (no font, no request).

import type { JSX } from 'preact'

const PATHS = {
  menu: 'M4 7h16M4 12h16M4 17h10',
  plus: 'M12 5v14M5 12h14',
  clip: 'M19.5 11.5 12 19a5 5 0 0 1-7-7l8-8a3.3 3.3 0 0 1 4.7 4.7l-8 8a1.7 1.7 0 0 1-2.4-2.4l7.2-7.2',
  file: 'M7 3.5h7l4 4V20.5H7zM14 3.5v4h4',
  save: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  play: 'M8 5.5v13l10.5-6.5z',
  close: 'M6 6l12 12M18 6 6 18',
  send: 'M12 19V5M6 11l6-6 6 6',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  retry: 'M20 11a8 8 0 1 0-2.3 6M20 5v6h-6',
  reset: 'M4 12a8 8 0 1 0 2.4-5.7M4 4v5h5',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5',
  chevron: 'M9 6l6 6-6 6',
  down: 'M12 5v14M6 13l6 6 6-6',
  tool: 'M14.5 6.5a4 4 0 0 0 4.8 4.8L11 19.6a2 2 0 0 1-2.9 0l-.2-.2a2 2 0 0 1 0-2.9l8.3-8.3',
  alert: 'M12 8v5M12 16.5v.5M12 3.5 2.5 20h19z',
  clock: 'M12 7v5l3 2M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18z',
  back: 'M15 6l-6 6 6 6',
  canvas: 'M4 5h16v11H4zM8 20l4-4 4 4M8 12l2.5-3 2 2 1.5-2 2 3',
  again: 'M19.5 12a7.5 7.5 0 1 1-2.2-5.3M19.5 3.5v4h-4',
  agents: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.4-3.6 3-6 6.5-6s6.1 2.4 6.5 6M16 4.4a3.5 3.5 0 0 1 0 6.3M18 14.6c2 .8 3.2 2.7 3.5 5.4',
  devices: 'M3 5h13v9H3zM7 18h5M9.5 14v4M18 9h3.5v10H18zM19.5 16.5h.5',
  node: 'M12 12.5v.5M8.8 15.8a4.5 4.5 0 1 1 6.4 0M6 18.6a8.5 8.5 0 1 1 12 0M12 15v5',
  settings: 'M4 7h9M19 7h1M16 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM4 17h1M11 17h9M8 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z',
  exit: 'M10 4H5v16h5M14 8l4 4-4 4M18 12H9',
  shield: 'M12 3.5 5 6v5.5c0 4.2 2.9 7.4 7 9 4.1-1.6 7-4.8 7-9V6zM9 12l2.2 2.2L15 10.4',
  pulse: 'M3 12h4l2.5-6 4 12L16 12h5',
  auto: 'M12 3a9 9 0 1 1 0 18zM12 3a9 9 0 0 0 0 18',
  light: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4',
  dark: 'M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  )
}

export function StopIcon(): JSX.Element {
  return (
    <svg class="icon icon-solid" viewBox="0 0 24 24" aria-hidden="true">
      <rect x="5.5" y="5.5" width="13" height="13" rx="2.5" />
    </svg>
  )
}

export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path d="M16 4 3.5 10.8v2.4h25v-2.4z" />
      <path d="M6 15.2h3.4v9H6zM14.3 15.2h3.4v9h-3.4zM22.6 15.2H26v9h-3.4z" />
      <path d="M3.5 25.8h25v2.7h-25z" />
    </svg>
  )
}
