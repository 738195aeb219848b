import { errorFrame, errors, fromErrorFrame, isErrorCode, MeshError, toErrorFrame, type ErrorCode } from '@claudemesh/protocol'
import { describe, expect, test } from 'vitest'
import { verifies } from '../harness/verifies.ts'

const codes = Object.keys(errors).filter(isErrorCode)

describe('the error table', () => {
  test.each(codes)('%s: its sentence, its retry and its frame agree', (code) => {
    const error = new MeshError(code)
    expect(error.message).toBe(errors[code].doc)
    expect(errors[code].doc).toMatch(/^[A-Z].*\.$/s)
    expect(error.retry).toBe(errors[code].retry)
    expect(fromErrorFrame(toErrorFrame(error))).toMatchObject({ code, message: error.message, retry: error.retry })
  })

  test('knows its own codes and no others', () => {
    for (const text of ['', 'Internal', '__proto__', 'constructor', 'toString', 'hasOwnProperty']) expect(isErrorCode(text)).toBe(false)
    expect(codes).toHaveLength(Object.keys(errors).length)
  })
})

describe('toErrorFrame', () => {
  test('answers with code, message and the id of the request', () => {
    verifies('wire.error')
    const frame = toErrorFrame(new MeshError('unknown_target', 'no peer is called Alicia; nearest: Alice'), 'r7')
    expect(frame).toEqual({ type: 'error', code: 'unknown_target', message: 'no peer is called Alicia; nearest: Alice', id: 'r7' })
    expect(errorFrame.parse(frame)).toEqual(frame)
  })

  test('carries no id when the word is about the connection, and the wait when there is one', () => {
    expect(toErrorFrame(new MeshError('rate_limited', 'slow down', { retryAfter: 250 }))).toEqual({
      type: 'error',
      code: 'rate_limited',
      message: 'slow down',
      retryAfter: 250,
    })
  })

  test.each([
    ['an Error', new Error('password=hunter2 at /home/alice/db')],
    ['a TypeError with a cause', new TypeError('hunter2', { cause: new Error('hunter2') })],
    ['a string', 'hunter2'],
    ['an object with the shape of a MeshError', { name: 'MeshError', code: 'not_found', message: 'hunter2' }],
    ['null', null],
    ['undefined', undefined],
  ])('says nothing of %s', (_, thrown) => {
    expect(toErrorFrame(thrown, 'r1')).toEqual({ type: 'error', code: 'internal', message: errors.internal.doc, id: 'r1' })
  })

  test('keeps the cause of a MeshError to this side', () => {
    const error = new MeshError('internal', undefined, { cause: new Error('hunter2') })
    expect(error.cause).toBeInstanceOf(Error)
    expect(JSON.stringify(toErrorFrame(error))).not.toContain('hunter2')
  })
})

describe('fromErrorFrame', () => {
  test('takes the code of a newer broker for internal, and its message as it is', () => {
    expect(fromErrorFrame({ type: 'error', code: 'too_quantum', message: 'the qubits are tired' })).toMatchObject({
      code: 'internal',
      message: 'the qubits are tired',
    })
  })

  test('an empty message becomes the sentence of the table', () => {
    expect(fromErrorFrame({ type: 'error', code: 'timeout', message: '' }).message).toBe(errors.timeout.doc)
  })

  test('keeps retryAfter', () => expect(fromErrorFrame({ type: 'error', code: 'rate_limited', message: 'm', retryAfter: 9 }).retryAfter).toBe(9))

  test.each([{}, { type: 'error' }, { type: 'ok', code: 'timeout', message: '' }, { type: 'error', code: 7, message: '' }, null])('refuses %j', (json) => {
    expect(() => fromErrorFrame(json)).toThrow(expect.objectContaining({ code: 'bad_frame' satisfies ErrorCode }))
  })
})
