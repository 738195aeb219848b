export { framePeerMessages } from './frame.ts'
export { serveMcp, type McpServerHandle, type ServeOptions } from './server.ts'
export { runTool } from './tools.ts'
