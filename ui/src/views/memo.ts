// Render again only when a prop changed (the one thing of preact/compat this page needs).

import { Component, h, type ComponentType, type ComponentChild } from 'preact'

function differ(a: object, b: object): boolean {
  const before = Object.entries(a)
  if (before.length !== Object.keys(b).length) return true
  const after = new Map(Object.entries(b))
  return before.some(([key, value]) => after.get(key) !== value)
}

export function memo<Props extends object>(inner: ComponentType<Props>): ComponentType<Props> {
  return class Memo extends Component<Props> {
    override shouldComponentUpdate(next: Props): boolean {
      return differ(this.props, next)
    }
    override render(): ComponentChild {
      return h(inner, this.props)
    }
  }
}
