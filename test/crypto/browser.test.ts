import { readdirSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'

const door = fileURLToPath(new URL('../../packages/crypto/src/index.ts', import.meta.url))
const sources = readdirSync(new URL('../../packages/crypto/src/', import.meta.url))

describe('a browser build of the door', () => {
  const bundle = () =>
    build({ entryPoints: [door], bundle: true, platform: 'browser', format: 'iife', globalName: 'crypto1', write: false, metafile: true, logLevel: 'silent' })

  test('needs no module of Node', async () => {
    const { metafile, warnings } = await bundle()
    const inputs = Object.values(metafile.inputs)
    expect(inputs.length).toBeGreaterThan(sources.length)
    const external = inputs.flatMap((input) => input.imports).filter((i) => i.external || i.path.startsWith('node:') || builtinModules.includes(i.path))
    expect(external).toEqual([])
    expect(warnings).toEqual([])
  })

  test('seals and opens without Buffer, process or require', async () => {
    const { outputFiles } = await bundle()
    const globals = { TextEncoder, TextDecoder, URL, atob, btoa, crypto: globalThis.crypto, console }
    const context = vm.createContext({ ...globals, window: {}, location: { href: 'https://localhost/' }, document: { currentScript: { src: '' } } })
    vm.runInContext(outputFiles[0]?.text ?? '', context)
    const outcome: unknown = await vm.runInContext(
      `(async () => {
        const c = crypto1
        await c.ready()
        const root = c.rootKey(c.webRandom(32))
        const mesh = c.meshIdOf(root.publicKey)
        const member = c.memberKey(c.webRandom(32))
        const [a, b] = [c.sessionKey(c.webRandom(32)), c.sessionKey(c.webRandom(32))]
        const tokens = [
          c.issueMember({ mesh, subject: member, issuer: root, role: 'admin', name: 'Alice', iat: 1000 }),
          c.issueSession({ mesh, session: a, member, iat: 1000 }),
        ]
        const sender = c.verifyChain(tokens, { mesh, root: root.publicKey, now: 1000, ends: 'session' })
        const id = c.toB64u(c.webRandom(16))
        const message = { to: 'Bob', id, ts: 1000, p: 'next', b: 'from a browser' }
        const from = { keys: new c.PairKeys(a), counters: new c.SendCounters(), mesh, sender: a.publicKey, random: c.webRandom }
        const sealed = c.seal({ ...from, recipients: [b.publicKey], message, shared: true })
        const push = { id, meshId: mesh, senderPubkey: a.publicKey, priority: 'next', nonce: sealed.nonce, ciphertext: sealed.ciphertext, wrap: sealed.wraps }
        const opened = c.open(push, { keys: new c.PairKeys(b), me: b.publicKey, mesh, sender, now: 1000, windows: new c.ReplayWindows() })
        return [typeof Buffer, typeof process, typeof require, opened.inner.b].join()
      })()`,
      context,
    )
    expect(outcome).toBe('undefined,undefined,undefined,from a browser')
  })
})
