// The page is built straight into the Python package, which serves it as plain files.
// `base: './'` keeps every address relative, so it also works under a base path.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: '../src/portico/web/static',
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0, // a strict CSP refuses data: scripts and styles
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    rolldownOptions: {
      // The page, the canvas for A2UI, and the service worker, whose address never changes.
      input: { index: 'index.html', a2ui: 'a2ui.html', sw: 'src/worker/sw.ts' },
      output: { entryFileNames: (chunk) => (chunk.name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
  test: { environment: 'jsdom', include: ['tests/**/*.test.ts'] },
})
