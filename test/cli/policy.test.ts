// What an admin does from a shell: looking at the rules, changing them, removing people.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Machine } from './machine.ts'

let founder: Machine

beforeAll(async () => {
  founder = await Machine.up()
}, 60_000)
afterAll(() => founder[Symbol.asyncDispose]())

interface Policy {
  v: number
  epoch: number
  allow: Record<string, unknown>
  revoked: Record<string, number>
  signedBy: { name: string }
}
const policy = (...args: string[]) => founder.json<Policy>(['policy', ...args])
const invite = async (...args: string[]) => (await founder.json<{ link: string }>(['invite', ...args])).link

async function joined(name: string, link?: string): Promise<Machine> {
  const machine = new Machine()
  await machine.json(['join', link ?? (await invite()), '--name', name])
  return machine
}

test('policy shows version, epoch, forms and who signed; rotate begins another epoch', async () => {
  const before = await policy()
  expect(before).toMatchObject({ epoch: 1, allow: { state: 'sealed', memory: 'sealed', files: 'sealed' }, signedBy: { name: 'the root key' } })
  expect(await founder.json(['rotate'])).toMatchObject({ mesh: 'local', epoch: 2 })
  const after = await policy()
  expect(after).toMatchObject({ v: before.v + 1, epoch: 2 })
  expect(after.signedBy.name).not.toBe('the root key')
  const shown = (await founder.run(['policy'])).out
  expect(shown).toMatch(/^epoch\s+2$/m)
  expect(shown).toMatch(/^memory\s+sealed$/m)
  expect(await founder.json(['status'])).toMatchObject({ meshes: [{ policy: { epoch: 2, memory: 'sealed' } }] })
  expect((await founder.run(['status'])).out).toContain('epoch 2; state, memory and files sealed')
})

test('what was remembered in one form is not searched in the other, and is there again afterwards', async () => {
  const recall = async () => (await founder.json<{ memories: { content: string }[] }>(['recall', 'quince'])).memories.map(({ content }) => content)
  await founder.run(['remember', 'quince, sealed'])
  await policy('--set', 'memory=plain')
  expect(await recall()).toEqual([])
  await founder.run(['remember', 'quince, plain'])
  expect(await recall()).toEqual(['quince, plain'])
  await policy('--set', 'memory=sealed')
  expect(await recall()).toEqual(['quince, sealed'])
})

test('policy --set changes the forms, files excepted', async () => {
  expect((await policy('--set', 'memory=plain', '--set', 'state=plain')).allow).toMatchObject({ memory: 'plain', state: 'plain', files: 'sealed' })
  expect((await founder.run(['status'])).out).toContain('state plain, memory plain, files sealed')
  expect((await policy('--set', 'memory=sealed', '--set', 'state=sealed')).allow).toMatchObject({ memory: 'sealed', state: 'sealed' })
  expect(await founder.refusal(['policy', '--set', 'files=plain'])).toMatchObject({
    exit: 2,
    code: 'usage',
    message: 'files are always sealed; state and memory may be plain',
  })
  expect((await founder.run(['policy', '--set', 'memory=blind'])).err).toContain('expected something like memory=plain')
})

describe('removing', () => {
  test('a member drops it at once and changes the key', async () => {
    await using eve = await joined('Eve')
    const { epoch, revoked } = await policy()
    expect(await founder.refusal(['remove', 'Eve'])).toMatchObject({ code: 'usage', message: 'there is no terminal to ask on; add --yes' })
    expect(await founder.json(['remove', 'eve', '--yes'])).toMatchObject({ removed: { name: 'Eve' }, epoch: epoch + 1 })
    expect(await eve.refusal(['peers'])).toMatchObject({ exit: 1, code: 'revoked' })
    expect((await policy()).revoked['members']).toBe((revoked['members'] ?? 0) + 1)
    expect(await founder.refusal(['remove', 'Eve', '--yes'])).toMatchObject({ code: 'unknown_target' })
  })

  test('one of two of the same name takes its fingerprint', async () => {
    await using one = await joined('Twin')
    await using two = await joined('Twin')
    const { message, code } = await founder.refusal(['remove', 'Twin', '--yes'])
    expect(code).toBe('ambiguous_name')
    const fingerprint = /[0-9a-f]{4} [0-9a-f]{4}/.exec(message)?.[0] ?? ''
    await founder.json(['remove', fingerprint, '--yes'])
    const outcomes = await Promise.all([one, two].map(async (machine) => (await machine.run(['peers'])).code))
    expect(outcomes.toSorted((a, b) => Number(a) - Number(b))).toEqual([0, 1])
  })

  test('an invite keeps those who came with it, unless told', async () => {
    const link = await invite('--max', '5')
    await using anna = await joined('Anna', link)
    const { invites } = await founder.json<{ invites: { key: string; max: number }[] }>(['invites'])
    const key = invites.find((one) => one.max === 5)?.key ?? ''
    const { epoch } = await policy()
    expect(await founder.json(['revoke', key.slice(0, 8)])).toMatchObject({ revoked: key, members: ['Anna'], removed: false })
    expect((await anna.run(['peers'])).code).toBe(0)
    await using late = new Machine()
    expect((await late.run(['join', link])).code).toBe(1)
    expect(await founder.json(['revoke', key, '--with-members', '--yes'])).toMatchObject({ removed: true })
    expect(await anna.refusal(['peers'])).toMatchObject({ code: 'revoked' })
    expect((await policy()).epoch).toBe(epoch + 1)
    expect(await founder.refusal(['revoke', '!'])).toMatchObject({ code: 'not_found' })
  })

  test('is for admins', async () => {
    await using anna = await joined('Berta')
    const { name } = (await founder.json<{ meshes: { name: string }[] }>(['list'])).meshes[0] ?? { name: '' }
    expect(await anna.refusal(['remove', name, '--yes'])).toMatchObject({ code: 'bad_policy' })
    expect(await anna.refusal(['rotate'])).toMatchObject({ code: 'bad_policy' })
  })
})
