// The official OpenAI client makes embeddings: what it saw, as one line of JSON.
//   node embeddings.mjs BASE_URL KEY
import OpenAI from 'openai'

const [baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
const made = await client.embeddings.create({ model: 'portico', input: ['one two', 'three'] })
const plain = await client.embeddings.create({
  model: 'portico', input: 'x', dimensions: 2, encoding_format: 'float',
})
process.stdout.write(`${JSON.stringify({
  vectors: made.data.map((one) => one.embedding), usage: made.usage, short: plain.data[0].embedding,
})}\n`)
