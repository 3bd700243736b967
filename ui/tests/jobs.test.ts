import { describe, expect, it, vi } from 'vitest'
import type { Hello } from '../src/protocol/hello'
import type { JsonObject } from '../src/protocol/json'
import type { Gateway } from '../src/state/gateway'
import { Jobs, readJob, readRun, saySchedule } from '../src/state/jobs'

const brief: JsonObject = {
  id: 'j1', name: 'brief', enabled: true, effectiveAgentId: 'main',
  schedule: { kind: 'cron', expr: '0 7 * * *', tz: 'Europe/Berlin' },
  state: { nextRunAtMs: 5, lastRunAtMs: 3, lastRunStatus: 'error', lastError: 'no' },
}

function room() {
  const asked: string[] = []
  const answers: Record<string, JsonObject> = {
    'cron.list': { jobs: [brief, {}] } as unknown as JsonObject,
    'cron.runs': { entries: [{ runId: 'r', runAtMs: 3, status: 'error', error: 'no' }, {}] } as unknown as JsonObject,
    'cron.run': { ok: true, ran: false, reason: 'already-running' },
  }
  const request = vi.fn(async (method: string) => {
    asked.push(method)
    return answers[method] ?? {}
  })
  const jobs = new Jobs({ request, tryRequest: request } as unknown as Gateway)
  jobs.connected({ methods: new Set(['cron.list']) } as unknown as Hello)
  return { jobs, asked }
}

describe('jobs', () => {
  it('reads what a gateway says, and drops junk', () => {
    expect(readJob(brief)).toMatchObject({ name: 'brief', schedule: '0 7 * * * (Europe/Berlin)', nextAt: 5, lastStatus: 'error', running: false })
    expect(readJob({})).toBeUndefined()
    expect(readRun({})).toBeUndefined()
    expect(saySchedule({ kind: 'every', everyMs: 90_000 })).toBe('every 1 min 30 s')
    expect(saySchedule({ kind: 'at', at: '2099-01-01' })).toBe('once, 2099-01-01')
  })

  it('asks for nothing before it is opened, and follows events while it is', async () => {
    const { jobs, asked } = room()
    jobs.heard({ action: 'finished', jobId: 'j1' })
    expect(asked).toEqual([])
    await jobs.open()
    expect(jobs.rows.value).toHaveLength(1)
    await jobs.choose('j1')
    expect(jobs.runs.value).toHaveLength(1)
    jobs.heard({ action: 'finished', jobId: 'j1' })
    await vi.waitFor(() => expect(asked.filter((one) => one === 'cron.runs')).toHaveLength(2))
    jobs.close()
    asked.length = 0
    jobs.heard({ action: 'finished', jobId: 'j1' })
    expect(asked).toEqual([])
  })

  it('says why a job does not run', async () => {
    const { jobs } = room()
    expect(await jobs.run('j1')).toBe('already-running')
  })
})
