import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'

/** An S3 server of one's own on a free port of this machine, gone with its data at the end of the scope. */
export interface S3Server extends AsyncDisposable {
  /** For openBlob. */
  readonly url: string
  readonly accessKey: string
  readonly secretKey: string
  /** Ends it in the middle of whatever it does. What it stored stays. */
  kill(): Promise<void>
  /** Serves again, on the same port. */
  restart(): Promise<void>
}

const programs = ['ceph', 'ceph-authtool', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin', 'setpriv']

/** Whether `startS3` has what it needs: the Debian packages ceph-mon, ceph-osd, ceph-common and radosgw. */
export function canStartS3(): boolean {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return programs.every((program) => folders.some((folder) => existsSync(join(folder, program))))
}

/** Starts Ceph's S3 gateway with one monitor and one store in memory, all of them children that do not outlive this process. */
export async function startS3(): Promise<S3Server> {
  if (!canStartS3()) throw new Error('an S3 server for tests needs: apt-get install --no-install-recommends ceph-mon ceph-osd ceph-common radosgw')
  const home = mkdtempSync(join(tmpdir(), 'claudemesh-s3-'))
  const [monitor, port] = [await freePort(), await freePort()]
  const running: ChildProcess[] = []
  const accessKey = randomBytes(10).toString('hex')
  const secretKey = randomBytes(20).toString('hex')
  const run = (program: string, ...args: string[]) => promisify(execFile)(program, ['-c', join(home, 'ceph.conf'), ...args], { timeout: 60_000 })
  const start = (program: string, ...args: string[]) => {
    // The system ends them even when this process is killed.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, '-f', '-c', join(home, 'ceph.conf'), ...args], {
      stdio: 'ignore',
    })
    running.push(child)
    return child
  }
  const serve = async () => {
    const child = start('radosgw', '-n', 'client.rgw')
    await answering(port, child)
    return child
  }
  const close = async () => {
    await Promise.all(running.map(ended))
    rmSync(home, { recursive: true, force: true })
  }
  try {
    await prepare(home, monitor, port, run)
    start('ceph-mon', '-i', 'a')
    const osd = randomUUID()
    await run('ceph', '--connect-timeout', '50', 'osd', 'new', osd)
    await run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd)
    await run('ceph', 'osd', 'crush', 'add', '0', '1.0', 'root=default', 'host=here')
    start('ceph-osd', '-i', '0')
    await run(
      'radosgw-admin',
      '-n',
      'client.rgw',
      'user',
      'create',
      '--uid=test',
      '--display-name=test',
      `--access-key=${accessKey}`,
      `--secret-key=${secretKey}`,
    )
    let gateway = await serve()
    return {
      url: `s3://${accessKey}:${secretKey}@127.0.0.1:${port}?tls=false`,
      accessKey,
      secretKey,
      kill: () => ended(gateway),
      restart: async () => {
        gateway = await serve()
      },
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function prepare(home: string, monitor: number, port: number, run: (program: string, ...args: string[]) => Promise<unknown>): Promise<void> {
  for (const folder of ['mon', 'osd', 'rgw', 'run']) mkdirSync(join(home, folder))
  const cluster = randomUUID()
  writeFileSync(join(home, 'ceph.conf'), settings(home, cluster, monitor, port))
  const map = join(home, 'monmap')
  await run('monmaptool', '--create', '--addv', 'a', `[v2:127.0.0.1:${monitor}]`, '--fsid', cluster, map)
  const keys = join(home, 'keyring')
  const may = ['mon', 'osd', 'mgr'].flatMap((part) => ['--cap', part, 'allow *'])
  for (const name of ['mon.', 'client.admin', 'client.rgw', 'osd.0'])
    await run('ceph-authtool', ...(existsSync(keys) ? [] : ['-C']), keys, '--gen-key', '-n', name, ...may)
  await run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map, '--keyring', keys)
}

const settings = (home: string, cluster: string, monitor: number, port: number) => `
[global]
fsid = ${cluster}
mon_host = [v2:127.0.0.1:${monitor}]
mon_initial_members = a
public_network = 127.0.0.0/8
ms_bind_ipv4 = true
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
osd_crush_chooseleaf_type = 0
run_dir = ${home}/run
admin_socket =
log_file = ${home}/$name.log
pid_file = ${home}/run/$name.pid
keyring = ${home}/keyring
[mon.a]
mon_data = ${home}/mon
[osd.0]
osd_data = ${home}/osd
osd_objectstore = memstore
memstore_device_bytes = 2147483648
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:${port}
rgw_data = ${home}/rgw
rgw_cache_enabled = false
`

/** It tells nobody when it begins to serve, so it is asked until it answers. */
async function answering(port: number, server: ChildProcess): Promise<void> {
  const deadline = AbortSignal.timeout(60_000)
  for (;;) {
    deadline.throwIfAborted()
    if (server.exitCode !== null) throw new Error(`the S3 server ended with ${server.exitCode}`)
    try {
      await fetch(`http://127.0.0.1:${port}`, { signal: deadline })
      return
    } catch {
      await setTimeout(50)
    }
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
