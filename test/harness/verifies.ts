import type { RuleId } from '../rules.ts'

/** States which rules of test/rules.ts the surrounding test proves; rules.test.ts reads these calls from the source. */
export function verifies(..._ids: [RuleId, ...RuleId[]]): void {}
