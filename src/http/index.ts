export type { Authenticate, Authenticated } from './auth/authenticate.ts';
export type { Credential } from './auth/permissions.ts';
export { createGateway, type Gateway } from './gateway.ts';
export type { GatewayOptions } from './options.ts';
