// Prints the path of the packaged Chromium, unpacked on first use.
import chromium from '@sparticuz/chromium'

console.log(await chromium.executablePath())
