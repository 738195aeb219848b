import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'
import { Machine } from './machine.ts'

interface Invite {
  link: string
  command: string
}

let founder: Machine
let joiner: Machine

beforeAll(async () => {
  founder = await Machine.up()
}, 60_000)
afterAll(() => founder[Symbol.asyncDispose]())

const freshLink = async (...args: string[]) => (await founder.json<Invite>(['invite', ...args])).link
const fresh = () => (joiner = new Machine())

describe('an invite', () => {
  test('is a command that lets one other machine in, whose sessions then are peers', async () => {
    verifies('cli.join', 'identity.member-made-by-join')
    await using other = fresh()
    const { link, command } = await founder.json<Invite>(['invite'])
    expect(command).toContain(`join ${link}`)
    expect(await other.json(['join', link, '--name', 'Berta'])).toMatchObject({ slug: 'local', name: 'Berta', role: 'member' })
    expect(statSync(join(other.home, 'config.json')).mode & 0o777).toBe(0o600)
    await using session = await other.session('Carol')
    expect(await founder.json(['peers'])).toMatchObject({ peers: [{ name: 'Carol', member: { id: session.me.memberId, name: 'Berta', role: 'member' } }] })
    expect(await founder.json(['invites'])).toMatchObject({ invites: expect.arrayContaining([expect.objectContaining({ used: 1, max: 1 })]) })
  })

  test('to a broker of this machine says that no other machine can use it', async () => {
    expect((await founder.run(['invite'])).out).toMatch(/\nthe link leads to this machine alone; .*claudemesh create/)
  })

  test('comes from stdin with -, the whole printed command included', async () => {
    await using other = fresh()
    expect(await other.json(['join', '-'], { input: `claudemesh join ${await freshLink()}\n` })).toMatchObject({ slug: 'local' })
  })

  test('comes from CLAUDEMESH_INVITE', async () => {
    await using other = fresh()
    expect(await other.json(['join'], { env: { CLAUDEMESH_INVITE: await freshLink() } })).toMatchObject({ slug: 'local' })
  })

  test('for several works that often and no more', async () => {
    const link = await freshLink('--max', '2')
    await using one = fresh()
    await using two = fresh()
    await using three = fresh()
    await one.json(['join', link])
    await two.json(['join', link])
    expect(await three.refusal(['join', link])).toMatchObject({ exit: 1, code: 'invite_used' })
    expect(await three.json(['list'])).toEqual({ meshes: [] })
  })

  test('to admin rights is made with the root key', async () => {
    await using other = fresh()
    expect(await other.json(['join', await freshLink('--role', 'admin')])).toMatchObject({ role: 'admin' })
  })
})

test('the secret of a link is in no file afterwards, on neither side', async () => {
  await using other = fresh()
  const link = await freshLink()
  await other.json(['join', link])
  const secret = link.slice(link.indexOf('#') + 1).slice(-20)
  const files = [founder, other].flatMap(({ home }) => readdirSync(home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()))
  const texts = files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
  expect(texts.some((text) => text.includes('"version": 1'))).toBe(true)
  expect(texts.filter((text) => text.includes(secret))).toEqual([])
})

describe('refused, and nothing is kept', () => {
  const refused = async (link: string, ahead = 0) => {
    await using other = fresh()
    const refusal = await joiner.refusal(['join', link], { ahead })
    expect(await other.json(['list'])).toEqual({ meshes: [] })
    return refusal
  }

  test('a used invite', async () => {
    const link = await freshLink()
    await using other = fresh()
    await other.json(['join', link])
    expect(await refused(link)).toMatchObject({ exit: 1, code: 'invite_used' })
  })

  test('an expired invite', async () => {
    await using mesh = await founder.session('Anna')
    const { link } = await mesh.invites.create({ expiresMs: 60_000 })
    expect(await refused(link, 61_000)).toMatchObject({ exit: 1, code: 'invite_expired' })
  })

  test('a damaged link', async () => {
    expect(await refused((await freshLink()).slice(0, -3))).toMatchObject({ exit: 1, code: 'bad_invite_link' })
  })

  test('a link with another seed', async () => {
    const link = await freshLink()
    const flipped = link.slice(0, -8) + (link.at(-8) === 'A' ? 'B' : 'A') + link.slice(-7)
    expect(await refused(flipped)).toMatchObject({ exit: 1, code: 'not_found' })
  })

  test('a link to a broker that is not there', async () => {
    const link = (await freshLink()).replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1')
    expect(await refused(link)).toMatchObject({ exit: 1, code: 'unavailable' })
  })

  test('a second membership of the same mesh, before a use is counted', async () => {
    const link = await freshLink()
    expect(await founder.refusal(['join', link])).toMatchObject({ exit: 1, code: 'already_joined' })
    await using other = fresh()
    await other.json(['join', link])
  })

  test('an invite of somebody who is no admin', async () => {
    await using other = fresh()
    await other.json(['join', await freshLink()])
    expect(await other.refusal(['invite'])).toMatchObject({ exit: 1 })
  })
})
