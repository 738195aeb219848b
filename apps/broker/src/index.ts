export { ConfigError, configFrom, type Config } from './config.ts'
export { serve, type Surroundings } from './serve.ts'
