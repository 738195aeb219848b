/** One small change to a source file that takes a refusal away, or weakens it. */
export interface Mutant {
  readonly file: string
  readonly line: number
  readonly what: string
  readonly source: string
}

/** What is replaced, where it may stand, and by what. */
interface Operator {
  readonly what: string
  readonly find: RegExp
  readonly by: string
  /** Only in files that match. */
  readonly files?: RegExp
  /** Only on lines that match. */
  readonly lines?: RegExp
}

const schemas = /payloads|inner/
const refusing = /throw |return false/

const operators: readonly Operator[] = [
  { what: 'no refusal', find: /\bthrow (?=new |bad\()/g, by: 'void ' },
  { what: 'true for false', find: /return false/g, by: 'return true' },
  { what: 'check not called', find: /(?<=^\s+(?:if \(.*\) )?)(?:check\w+|refuse\w+|this\.check|o\.windows\.accept)\(.*\)$/gm, by: 'void 0' },
  { what: 'name not checked', find: /\bparse(?:Name|Group|Label)\(/g, by: '((x) => x)(' },
  { what: 'length not compared', find: /[\w.]+\.length === [\w.]+ && /g, by: '' },
  { what: 'edge moved', find: / ([<>]) /g, by: ' $1= ', lines: refusing },
  { what: 'edge moved', find: / ([<>])= /g, by: ' $1 ', lines: refusing },
  { what: 'first condition dropped', find: /if \(([^|\n]+?) \|\| /g, by: 'if (', lines: /throw new|throw bad/ },
  { what: 'last condition dropped', find: / \|\| ([^|\n]+?)\) throw/g, by: ') throw', lines: /throw new|throw bad/ },
  { what: 'any value', find: /\bz\.(?:literal|enum)\((?:\[[^\]]*\]|[^)]*)\)|\bz\.(?:boolean|string)\(\)(?!\.)/g, by: 'z.any()', files: schemas },
  {
    what: 'any value',
    find: /(?<=\w: |z\.array\()(?:memberPub|invitePub|sessionPub|millis|role|form|label|id|counter|key32)\b/g,
    by: 'z.any()',
    files: schemas,
  },
  { what: 'any number', find: /\bz\.int\(\)/g, by: 'z.number()', files: schemas },
  { what: 'no bound', find: /\.(?:max\([^)]*\)|positive\(\)|nonnegative\(\)|regex\(\/[^/]*\/\))/g, by: '', files: schemas },
]

// Padded sizes come in steps, and none of them is exactly the limit.
const equivalent = [/seal\.ts edge moved: if \(bytes /]

/** Every mutant of a source text, but for those that no test could tell from the original. */
export function mutantsOf(file: string, source: string): Mutant[] {
  return operators.flatMap((operator) => {
    if (operator.files && !operator.files.test(file)) return []
    return [...source.matchAll(operator.find)].flatMap((match) => {
      const line = lineOf(source, match.index)
      if (/^\s*(?:\/\/|\*|\/\*|import|export \{)/.test(line) || (operator.lines && !operator.lines.test(line))) return []
      const replaced = operator.by.replace('$1', match[1] ?? '')
      const mutated = source.slice(0, match.index) + replaced + source.slice(match.index + match[0].length)
      if (equivalent.some((known) => known.test(`${file} ${operator.what}: ${line.trim()}`))) return []
      return [{ file, line: source.slice(0, match.index).split('\n').length, what: operator.what, source: mutated }]
    })
  })
}

function lineOf(source: string, index: number): string {
  const end = source.indexOf('\n', index)
  return source.slice(source.lastIndexOf('\n', index) + 1, end < 0 ? undefined : end)
}
