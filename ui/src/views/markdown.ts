// Markdown to safe HTML. Raw HTML in a message is shown as text, pictures become links (a
// picture's address must not be fetched because a model wrote it), and everything passes a
// sanitizer at the end.

import DOMPurify from 'dompurify'
import { Marked } from 'marked'

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text === '' ? href : text)}</a>`,
    code: ({ text, lang }) =>
      `<figure class="code"><figcaption><span>${escapeHtml(lang ?? '')}</span>` +
      `<button type="button" data-copy="code">Copy</button></figcaption>` +
      `<pre tabindex="0"><code>${escapeHtml(text)}\n</code></pre></figure>`,
    table(token) {
      const row = (cells: string, tag: string): string => `<${tag}><tr>${cells}</tr></${tag}>`
      const head = token.header.map((cell) => `<th>${this.parser.parseInline(cell.tokens)}</th>`).join('')
      const body = token.rows
        .map((cells) => `<tr>${cells.map((cell) => `<td>${this.parser.parseInline(cell.tokens)}</td>`).join('')}</tr>`)
        .join('')
      return `<div class="table" tabindex="0"><table>${row(head, 'thead')}<tbody>${body}</tbody></table></div>`
    },
  },
})

DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName !== 'A') return
  node.setAttribute('target', '_blank')
  node.setAttribute('rel', 'noopener noreferrer nofollow')
})

const RULES = {
  FORBID_TAGS: ['style', 'img', 'form', 'video', 'audio', 'iframe', 'svg', 'math'],
  FORBID_ATTR: ['style', 'id', 'name', 'class'],
  ADD_ATTR: ['data-copy'],
}

/** Classes are ours alone; a message cannot bring its own. */
const OUR_CLASSES = new Map([['FIGURE', 'code'], ['DIV', 'table']])

export function renderMarkdown(text: string): string {
  const box = document.createElement('template')
  box.innerHTML = DOMPurify.sanitize(marked.parse(text, { async: false }), RULES)
  for (const [tag, name] of OUR_CLASSES)
    for (const element of box.content.querySelectorAll(tag)) element.className = name
  return box.innerHTML
}
