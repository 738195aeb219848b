import { readFileSync } from 'node:fs'
import { configFrom } from '@claudemesh/broker-app'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'

const read = (name: string) => readFileSync(new URL(`../../apps/broker/deploy/${name}`, import.meta.url), 'utf8')

interface Container {
  readonly image: string
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly ports: readonly { readonly containerPort: number }[]
  readonly readinessProbe: object
  readonly securityContext: object
}

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly selector?: Readonly<Record<string, unknown>>
    readonly replicas?: number
    readonly ports?: readonly { readonly port: number }[]
    readonly template?: {
      readonly metadata: { readonly labels: object }
      readonly spec: { readonly securityContext: object; readonly containers: readonly Container[] }
    }
  }
}

describe('the Kubernetes manifests', () => {
  const manifests = ['kubernetes/broker.yaml', 'kubernetes/nats.yaml'].flatMap((name) =>
    parseAllDocuments(read(name)).map((document) => document.toJS() as Manifest),
  )
  const named = (kind: string, name: string) => manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name) as Manifest
  const container = (name: string) => named('Deployment', name).spec.template?.spec.containers[0] as Container

  test.each(['claudemesh-broker', 'claudemesh-nats'])('%s: its service finds it, and it runs with no more rights than it needs', (name) => {
    const { template } = named('Deployment', name).spec
    expect(template?.metadata.labels).toEqual(named('Service', name).spec.selector)
    expect(container(name).ports[0]?.containerPort).toBe(named('Service', name).spec.ports?.[0]?.port)
    expect(template?.spec.securityContext).toMatchObject({ runAsNonRoot: true })
    expect(container(name).securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
    expect(container(name).image).toMatch(/:\d+\.\d+\.\d+/)
  })

  test('give several brokers settings that they take, and the bus that is there', () => {
    const { env = [], readinessProbe } = container('claudemesh-broker')
    const given = Object.fromEntries(env.map(({ name, value }) => [name, value ?? 'claudemesh-broker-5d4f']))
    const { busUrl, nodeId } = configFrom({ STORE_URL: 'postgres://u:p@db/mesh', ...given })
    expect(busUrl).toBe(`nats://claudemesh-nats:${named('Service', 'claudemesh-nats').spec.ports?.[0]?.port}`)
    expect(nodeId).toBe('claudemesh-broker-5d4f')
    expect(readinessProbe).toMatchObject({ httpGet: { path: '/healthz', port: 7717 } })
    expect(named('Deployment', 'claudemesh-broker').spec.replicas).toBeGreaterThan(1)
  })
})

test('the systemd unit stops a broker with the signal that it drains on, and leaves it the time', () => {
  const unit = read('claudemesh-broker.service')
  expect(unit).toMatch(/^ExecStart=\/usr\/bin\/node .*main\.mjs$/m)
  expect(unit).toMatch(/^KillSignal=SIGTERM$/m)
  expect(unit).toMatch(/^DynamicUser=yes$/m)
})
