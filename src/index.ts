export type { Answer } from './calls/answer.ts';
export type { Call } from './calls/call.ts';
export type { AttemptRecord, Receipt } from './calls/receipt/receipt.ts';
export { callChannelName } from './calls/receipt/reporter.ts';
export type { DeploymentHealth } from './calls/routing/circuit-breaker.ts';
export type { Caller } from './calls/routing/resolve.ts';
export type { TeamHealth } from './calls/routing/team-health.ts';
export type { TestResult } from './calls/upstream/test-answer.ts';
export type { TeamChatCompletion } from './client/chat-completion.ts';
export type { ConnectOptions } from './client/connect.ts';
export type { CallOptions } from './client/team-client.ts';
export { type TeamCallOptions, teamBaseUrl } from './client/team-fetch.ts';
export type { TeamSocket } from './client/team-socket.ts';
export { type ErrorBody, errorCodes, RouterError, type RouterErrorCode } from './errors.ts';
export { type CallError, isRouterError } from './is-router-error.ts';
export type { Logger } from './logger.ts';
export type { MemoryReservation } from './memory-budget.ts';
export type { PriceTable } from './metering/prices.ts';
export type { Tokens, Usage } from './metering/usage/usage-report.ts';
export type { PriceSource, UsageEvent, UsageOutcome, UsageSource } from './metering/usage-event.ts';
export type { CloseOptions, RouterOptions } from './options.ts';
export { TeamModelRouter } from './router.ts';
export type {
  KeyBody,
  KeyPatch,
  KeyType,
  ModelBody,
  ModelPatch,
  TeamBody,
  TeamPatch,
} from './schemas/body-types.ts';
export { type EncryptionKey, generateEncryptionKey } from './secrets/keyring.ts';
export type { SessionOptions } from './sessions/options.ts';
export type { SessionOpening, SessionRequest } from './sessions/service.ts';
export type { SocketEnd, SocketListener, SocketMessage } from './sessions/socket-end.ts';
export { type CopyOptions, type CopyProgress, type CopyResult, copyStorage } from './storage/copy.ts';
export { memoryStorage } from './storage/memory.ts';
export type {
  ListedEntry,
  ListPage,
  OperationOptions,
  Storage,
  StorageEvent,
  StoredValue,
  Version,
} from './storage/storage.ts';
export type { Actor, ModelOptions } from './teams/management/actor.ts';
export type { KeyView, NewKey } from './teams/management/edit-key.ts';
export type { SettingsView } from './teams/management/edit-settings.ts';
export type { KeyRegeneration } from './teams/management/key-regeneration.ts';
export type { KeyList, KeyPage } from './teams/management/key-service.ts';
export type { ModelGroup, ModelGroupList } from './teams/management/model-groups.ts';
export type { ListTeamsOptions, TeamPage } from './teams/management/team-service.ts';
export type {
  ListedTeam,
  ModelDetails,
  ModelInfoView,
  ModelList,
  ModelParamsView,
  ModelStamps,
  ModelView,
  TeamInfo,
  TeamView,
} from './teams/management/views.ts';
export type { TeamPrincipal } from './teams/principal.ts';
export type { RotationOptions, RotationProgress } from './teams/records/key-rotation.ts';
export type { UnreadableTeam } from './teams/records/listing.ts';
