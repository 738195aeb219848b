/** Cites a rule of test/rules.ts; rules.test.ts finds the citation in the source of the test. */
export function verifies(_rule: string): void {}
