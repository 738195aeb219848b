import { formatInviteLink, fromB64u, inviteKey, meshIdOf, parseInviteLink, ready, rootKey, toB64u } from '@claudemesh/crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { refuses, seed } from './world.ts'

beforeAll(ready)

const root = () => rootKey(seed(1)).publicKey
const linkTo = (host: string) => `cm1:${host}#${toB64u(Uint8Array.of(1, ...fromB64u(root()), ...seed(2, 16)))}`
const secret = () => linkTo('h').slice(6)

test('a link carries host, root and invite key, in 66 characters after the #', () => {
  expect(secret()).toHaveLength(66)
  expect(formatInviteLink('mesh.example.com', root(), seed(2, 16))).toBe(linkTo('mesh.example.com'))
  const link = parseInviteLink(linkTo('mesh.example.com'))
  expect(link).toEqual({
    host: 'mesh.example.com',
    url: 'wss://mesh.example.com/ws',
    httpUrl: 'https://mesh.example.com',
    root: root(),
    mesh: meshIdOf(root()),
    invite: inviteKey(root(), seed(2, 16)),
  })
})

test.each([
  ['mesh.example.com', 'wss://mesh.example.com/ws', 'https://mesh.example.com'],
  ['Mesh.Example.com:443', 'wss://mesh.example.com/ws', 'https://mesh.example.com'],
  ['mesh.example.com:8443', 'wss://mesh.example.com:8443/ws', 'https://mesh.example.com:8443'],
  ['localhost:7717', 'ws://localhost:7717/ws', 'http://localhost:7717'],
  ['127.0.0.1:7717', 'ws://127.0.0.1:7717/ws', 'http://127.0.0.1:7717'],
  ['127.8.9.1', 'ws://127.8.9.1/ws', 'http://127.8.9.1'],
  ['[::1]:7717', 'ws://[::1]:7717/ws', 'http://[::1]:7717'],
  ['192.168.1.5:7717', 'wss://192.168.1.5:7717/ws', 'https://192.168.1.5:7717'],
  ['localhost.example.com', 'wss://localhost.example.com/ws', 'https://localhost.example.com'],
  ['ws://192.168.1.5:7717', 'ws://192.168.1.5:7717/ws', 'http://192.168.1.5:7717'],
  ['wss://localhost:7717', 'wss://localhost:7717/ws', 'https://localhost:7717'],
])('%s is dialled at %s', (host, url, httpUrl) => expect(parseInviteLink(linkTo(host))).toMatchObject({ url, httpUrl }))

test.each([
  ['with the command in front', (link: string) => `claudemesh join ${link}`],
  ['with spaces and a line end', (link: string) => `  ${link}\r\n`],
  ['in quotes', (link: string) => `claudemesh  join '${link}'`],
])('is read %s', (_how, dress) => expect(parseInviteLink(dress(linkTo('h.example'))).root).toBe(root()))

test('a link that nobody could read is not made', () => {
  for (const host of ['', 'h/x', 'http://h', 'h:99999']) refuses('bad_invite_link', /./, () => formatInviteLink(host, root(), seed(2, 16)))
  refuses('bad_invite_link', /damaged/, () => formatInviteLink('h', root(), seed(2, 32)))
})

describe('refused as bad_invite_link', () => {
  test.each([
    ['nothing', () => '', /expected cm1:/],
    ['another scheme', () => linkTo('h').replace('cm1:', 'cm2:'), /expected cm1:/],
    ['no secret', () => 'cm1:h.example', /expected cm1:/],
    ['no host', () => `cm1:#${secret()}`, /expected cm1:/],
    ['a path', () => linkTo('h.example/x'), /expected cm1:/],
    ['a user in front of the host', () => linkTo('good.example@evil.example'), /expected cm1:/],
    ['a query', () => linkTo('h.example?x=1'), /expected cm1:/],
    ['http as scheme', () => linkTo('http://h.example'), /expected cm1:/],
    ['a second line', () => `${linkTo('h')}\n${linkTo('h')}`, /expected cm1:/],
    ['a missing end', () => linkTo('h').slice(0, -1), /cut short or damaged/],
    ['a character too many', () => `${linkTo('h')}A`, /cut short or damaged/],
    ['bits after the end', () => `${linkTo('h').slice(0, -1)}B`, /cut short or damaged/],
    ['a newer version', () => `cm1:h#${toB64u(Uint8Array.of(2, ...seed(1, 48)))}`, /newer version/],
    ['a port out of range', () => linkTo('h:99999'), /is not a host/],
    ['brackets around a name', () => linkTo('[h]'), /is not a host/],
  ])('%s', (_what, text, says) => refuses('bad_invite_link', says, () => parseInviteLink(text())))

  test('the refusal does not repeat the secret', () => {
    const text = linkTo('h:99999')
    expect(() => parseInviteLink(text)).toThrow(expect.objectContaining({ message: expect.not.stringContaining(secret()) }))
  })
})
