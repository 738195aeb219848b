import { MeshError, type ErrorCode } from '@claudemesh/protocol'

/** The code under which `act` is refused, undefined when it is not; any other failure is passed on. */
export function codeOf(act: () => unknown): ErrorCode | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof MeshError) return error.code
    throw error
  }
}
