export type { Principal, TeamPrincipal } from '../teams/principal.ts';
export type { Authenticate } from './auth/authenticate.ts';
export { createGateway, type Gateway } from './gateway.ts';
export type { GatewayOptions } from './options.ts';
