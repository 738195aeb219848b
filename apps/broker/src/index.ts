export { ConfigError, configFrom, shown, type Config } from './config.ts'
export { inTurn } from './in-turn.ts'
export { serve, type Surroundings } from './serve.ts'
