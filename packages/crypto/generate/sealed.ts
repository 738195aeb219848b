import { fromB64u } from '../src/base64.ts'
import { sealKeybox } from '../src/keybox.ts'
import { backHash, commitMeshKey, sealBack, subkey } from '../src/mesh-keys.ts'
import { pad } from '../src/padding.ts'
import { sealRecord, stateId } from '../src/records.ts'
import { issueRecord } from '../src/signed-records.ts'
import { encodeText, hash, sodium } from '../src/sodium.ts'
import { hex, meshKeyOf, now, seeded, type World } from './world.ts'

/** Of the newest key. */
const epoch = 3

/** Mesh keys of three epochs, their boxes for a member and for an invite, and a record of each purpose under the newest. */
export function sealed(w: World) {
  const keys = [1, 2, 3].map(meshKeyOf) as [Uint8Array, Uint8Array, Uint8Array]
  const [first, second, third] = keys
  const back2 = sealBack({ mesh: w.mesh, epoch: 2, key: second, before: first, random: seeded('back 2') })
  const back3 = sealBack({ mesh: w.mesh, epoch, key: third, before: second, earlier: back2, random: seeded('back 3') })
  return {
    meshKeys: keys.map((key, i) => ({
      epoch: i + 1,
      key: hex(key),
      commit: commitMeshKey(w.mesh, i + 1, key),
      subkeys: {
        state: hex(subkey(key, 'state')),
        stateIndex: hex(subkey(key, 'stateIndex')),
        memory: hex(subkey(key, 'memory')),
        file: hex(subkey(key, 'file')),
        back: hex(subkey(key, 'back')),
      },
    })),
    backs: [back2, back3].map((back, i) => ({ epoch: i + 2, context: `cm1:back\0${w.mesh}\0${i + 2}`, back, hash: backHash(back) })),
    keyboxes: { member: keyboxVector(w, 'member', third), invite: keyboxVector(w, 'invite', third) },
    stateIds: ['deploy_frozen', 'Größe', 'Gro\u0308ße'.normalize('NFD')].map((key) => ({ key, id: stateId(first, key) })),
    records: [
      recordVector(w, 'state', stateId(first, 'deploy_frozen'), third, stateToken(w)),
      recordVector(w, 'memory', 'm_1', third, memoryToken(w)),
      recordVector(w, 'file', 'f_1', third, fileToken(w)),
    ],
  }
}

const stateToken = (w: World) =>
  issueRecord('state', { mesh: w.mesh, session: w.alice, key: 'deploy_frozen', val: { frozen: true, why: ['“wait”', null] }, ver: 1, ts: now })
const memoryToken = (w: World) =>
  issueRecord('memory', { mesh: w.mesh, session: w.alice, id: 'm_1', content: 'The API rate-limits at 100/min', tags: ['api', 'limits'], ts: now })
const fileToken = (w: World) => {
  const file = { id: 'f_1', name: 'plan.pdf', size: 4096, mime: 'application/pdf', tags: ['plan'] }
  const zero = 'A'.repeat(43)
  return issueRecord('file', { mesh: w.mesh, session: w.alice, ...file, key: zero, sha256: zero, ts: now })
}

function keyboxVector(w: World, reader: 'member' | 'invite', key: Uint8Array) {
  const box = sealKeybox({ mesh: w.mesh, epoch, key, reader: w[reader].publicKey, rotator: w.admin, random: seeded(`keybox ${reader}`) })
  const binding = hash(16, `cm1:kb\0${w.mesh}\0${epoch}\0`, fromB64u(w[reader].publicKey))
  return { reader: w[reader].publicKey, binding: hex(binding), pairKey: hex(pairKey(w, reader)), box }
}

const pairKey = (w: World, reader: 'member' | 'invite') =>
  sodium.crypto_box_beforenm(
    sodium.crypto_sign_ed25519_pk_to_curve25519(fromB64u(w[reader].publicKey)),
    sodium.crypto_sign_ed25519_sk_to_curve25519(w.admin.secretKey),
  )

function recordVector(w: World, purpose: 'state' | 'memory' | 'file', id: string, key: Uint8Array, token: string) {
  const record = sealRecord({ mesh: w.mesh, purpose, epoch, key, id, token, random: seeded(`record ${purpose}`) })
  return { purpose, id, context: `cm1:${purpose}\0${w.mesh}\0${epoch}\0${id}`, token, padded: hex(pad(encodeText(token))), record }
}
