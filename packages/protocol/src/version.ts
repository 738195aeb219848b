/** The version of the wire contract. It rises when a client of the version before could not go on talking: `contract.lock.json` tells. */
export const contractVersion = 2
