import type { Dial } from '@claudemesh/client'

type Frame = Record<string, unknown> & { type: string }

/** A dialler that keeps the frames of its connections, as text and parsed. */
export function recording(dial: Dial): { dial: Dial; sent: Frame[]; received: Frame[]; raw: string[] } {
  const sent: Frame[] = []
  const received: Frame[] = []
  const raw: string[] = []
  const keep = (frames: Frame[], text: string) => {
    raw.push(text)
    frames.push(JSON.parse(text) as Frame)
  }
  const recorded: Dial = (url, events) => {
    const wire = dial(url, {
      open: () => events.open(),
      ping: () => events.ping(),
      close: (code, error) => events.close(code, error),
      text: (data) => {
        keep(received, data)
        events.text(data)
      },
    })
    return {
      close: (code, reason) => wire.close(code, reason),
      send: (text) => {
        keep(sent, text)
        wire.send(text)
      },
    }
  }
  return { dial: recorded, sent, received, raw }
}
