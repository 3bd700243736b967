// How surfaces of A2UI 0.8 look: our own colours, no classes of a design system.

import type { Types } from '@a2ui/lit/0.8'

type Styles = Record<string, string>

const none: Record<string, never> = {}
const flat = ['layout-m-0']
const heading = (size: string): Styles => ({ 'font-size': size, 'font-weight': '650' })
const parts = { container: none, element: none, label: none }
const line = '1px solid light-dark(#d9d4cb, #3c3833)'
const field = {
  font: 'inherit',
  padding: '8px 10px',
  border: line,
  'border-radius': '8px',
  background: 'light-dark(#fff, #1f1d1a)',
  color: 'inherit',
}

const text = {
  h1: heading('1.7em'),
  h2: heading('1.4em'),
  h3: heading('1.2em'),
  h4: heading('1.05em'),
  h5: heading('1em'),
  h6: heading('1em'), // it is looked for, and no text has it
  body: none,
  caption: { 'font-size': '0.87em', opacity: '0.75' },
}

export const theme: Types.Theme = {
  components: {
    AudioPlayer: none,
    Button: none,
    Card: none,
    Column: none,
    CheckBox: parts,
    DateTimeInput: parts,
    Divider: none,
    Image: {
      all: none,
      icon: none,
      avatar: none,
      smallFeature: none,
      mediumFeature: none,
      largeFeature: none,
      header: none,
    },
    Icon: none,
    List: none,
    Modal: { backdrop: none, element: none },
    MultipleChoice: parts,
    Row: none,
    Slider: parts,
    Tabs: { container: none, element: none, controls: { all: none, selected: none } },
    Text: { all: none, h1: none, h2: none, h3: none, h4: none, h5: none, caption: none, body: none },
    TextField: parts,
    Video: none,
  },
  elements: {
    a: none,
    audio: none,
    body: none,
    button: none,
    h1: none,
    h2: none,
    h3: none,
    h4: none,
    h5: none,
    iframe: none,
    input: none,
    p: none,
    pre: none,
    textarea: none,
    video: none,
  },
  markdown: { p: flat, h1: flat, h2: flat, h3: flat, h4: flat, h5: flat, ul: [], ol: [], li: [], a: [], strong: [], em: [] },
  additionalStyles: {
    Button: {
      font: 'inherit',
      'font-weight': '600',
      padding: '8px 16px',
      border: '0',
      'border-radius': '8px',
      cursor: 'pointer',
      background: 'light-dark(#2f5d50, #8fc7b5)',
      color: 'light-dark(#fff, #10211c)',
    },
    Card: { padding: '16px', border: line, 'border-radius': '12px' },
    Column: { gap: '8px' },
    Row: { gap: '12px' },
    List: { gap: '8px' },
    TextField: field,
    DateTimeInput: field,
    MultipleChoice: field,
    Text: text,
    Divider: { border: '0', 'border-top': line },
  },
}
