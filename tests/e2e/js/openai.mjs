// The official OpenAI client asks a gateway; what it saw goes out as one line of JSON.
// Arguments: base URL, key.
import OpenAI from 'openai'

const [baseURL, apiKey] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 })
const model = 'portico'
const ask = (content, more = {}) => ({ model, messages: [{ role: 'user', content }], ...more })
const seen = {}

seen.models = (await client.models.list()).data.map(({ id }) => id)

const whole = await client.chat.completions.create(ask('hello'))
seen.chat = { text: whole.choices[0].message.content, finish: whole.choices[0].finish_reason, usage: whole.usage.total_tokens }

seen.stream = { text: '', usage: null, finish: null }
const chunks = await client.chat.completions.create(
  ask('hello', { stream: true, stream_options: { include_usage: true } }),
)
for await (const chunk of chunks) {
  seen.stream.text += chunk.choices[0]?.delta.content ?? ''
  seen.stream.finish = chunk.choices[0]?.finish_reason ?? seen.stream.finish
  seen.stream.usage = chunk.usage?.total_tokens ?? seen.stream.usage
}

// The SDK runs the tool and sends its result by itself.
const tool = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather of a town',
    parameters: { type: 'object', properties: { text: { type: 'string' } } },
    parse: JSON.parse,
    function: ({ text }) => `sunny in ${text}`,
  },
}
const runner = client.chat.completions.runTools(ask('/sim client_tool=weather\nRome', { tools: [tool] }))
seen.tools = await runner.finalContent()

const first = await client.responses.create({ model, input: 'one' })
const second = await client.responses.create({ model, input: 'two', previous_response_id: first.id })
seen.responses = { texts: [first.output_text, second.output_text], follows: second.previous_response_id === first.id }

const events = client.responses.stream({ model, input: 'three' })
const kinds = []
for await (const event of events) kinds.push(event.type)
seen.events = { last: kinds.at(-1), text: (await events.finalResponse()).output_text }

seen.errors = {}
const refused = async (name, asking) => {
  try {
    await asking
    seen.errors[name] = null
  } catch (error) {
    seen.errors[name] = [error.constructor.name, error.status ?? null, error.code ?? null]
  }
}
await refused('model', client.chat.completions.create(ask('x', { model: 'gpt-4' })))
await refused('request', client.chat.completions.create(ask('x', { temperature: 9 })))
await refused('agent', client.chat.completions.create(ask('/sim error=rate_limit\n')))
await refused('embeddings', client.embeddings.create({ model, input: 'x' }))
await refused('key', new OpenAI({ baseURL, apiKey: 'wrong', maxRetries: 0 }).models.list())
await refused('stream', (async () => {
  const broken = await client.chat.completions.create(ask('/sim error=unknown\n', { stream: true }))
  for await (const _ of broken);
})())

const leaving = await client.chat.completions.create(ask('/sim words=9 delay_ms=200\n', { stream: true, user: 'leaver' }))
for await (const chunk of leaving) {
  if (chunk.choices[0]?.delta.content) break // closes the connection
}
seen.left = true

process.stdout.write(`${JSON.stringify(seen)}\n`)
