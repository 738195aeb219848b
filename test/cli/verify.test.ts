// Out of band: words that two people read to each other, and what is remembered of it.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Machine } from './machine.ts'

interface Verify {
  words: string[]
  verified?: boolean
}
interface Peers {
  peers: { name: string; verified: boolean }[]
  warnings?: string[]
}

async function joined(founder: Machine, name: string): Promise<Machine> {
  const machine = new Machine()
  await machine.json(['join', (await founder.json<{ link: string }>(['invite'])).link, '--name', name])
  return machine
}

test('two members see the same words, and who said so is marked', async () => {
  await using founder = await Machine.up()
  await using anna = await joined(founder, 'Anna')
  const me = (await founder.json<{ meshes: { name: string }[] }>(['list'])).meshes[0]?.name ?? ''
  const whole = await founder.json<Verify>(['verify'])
  expect(await anna.json<Verify>(['verify'])).toEqual(whole)
  expect(whole.words).toHaveLength(8)

  const mine = await founder.json<Verify>(['verify', 'Anna'])
  const hers = await anna.json<Verify>(['verify', me])
  expect(hers.words).toEqual(mine.words)
  expect(mine).toMatchObject({ verified: false, member: { name: 'Anna' } })

  await using session = await anna.session('Reviewer')
  const peers = () => founder.json<Peers>(['peers'])
  expect((await peers()).peers).toMatchObject([{ name: session.me.name, verified: false }])
  // By the name of her session, too.
  expect(await founder.json(['verify', 'reviewer', '--yes'])).toMatchObject({ verified: true })
  expect(await peers()).toMatchObject({ peers: [{ verified: true }] })
  expect((await founder.run(['peers'])).out).toContain('Reviewer ✓')
  expect(statSync(join(founder.home, 'verified', (await founder.json<{ meshes: { mesh: string }[] }>(['list'])).meshes[0]?.mesh ?? '')).mode & 0o777).toBe(
    0o600,
  )

  await using other = await joined(founder, 'Anna')
  await using impostor = await other.session('Somebody')
  const list = await peers()
  expect(list.peers).toContainEqual(expect.objectContaining({ name: impostor.me.name, verified: false }))
  expect(list.warnings).toEqual([expect.stringMatching(/^warning: Somebody \(member .{9}\) is not the Anna whom you verified/)])
  expect((await founder.run(['peers'])).out).toContain('is not the Anna whom you verified')
  expect(await founder.refusal(['verify', 'Anna'])).toMatchObject({ code: 'ambiguous_name' })
  expect(await founder.refusal(['verify', 'Nobody'])).toMatchObject({ code: 'unknown_target' })
})
