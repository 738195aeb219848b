import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
server.on('connection', (socket) => {
  socket.on('message', (data) => {
    for (const other of server.clients) if (other !== socket) other.send(data as Buffer)
  })
})
await once(server, 'listening')
process.send?.({ url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` })
await once(process, 'disconnect')
for (const client of server.clients) client.terminate()
server.close()
